"""Frames as a person sees them: coloured half blocks in the terminal, a contact sheet as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from rich.text import Text

FloatArray = npt.NDArray[np.float32]

# Five anchors of the inferno colour map (public domain, matplotlib), interpolated linearly.
_ANCHORS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)


def colours(field: FloatArray, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map `field` [H, W] to RGB [H, W, 3]; values outside low..high are clipped."""
    unit = np.clip((field - low) / max(high - low, 1e-12), 0, 1) * (len(_ANCHORS) - 1)
    below = np.minimum(unit.astype(int), len(_ANCHORS) - 2)
    share = (unit - below)[..., None]
    mixed: npt.NDArray[np.uint8] = (_ANCHORS[below] * (1 - share) + _ANCHORS[below + 1] * share).astype(
        np.uint8
    )
    return mixed


def has_colours(frame: npt.NDArray[Any]) -> bool:
    """Whether a frame is pixels [H, W, 3] already, and not a field [H, W] that takes its colours from a scale."""
    return frame.ndim == 3


def pixels(frame: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """[H, W, 3]; a field on the scale `low`..`high`."""
    return frame if has_colours(frame) else colours(frame, low, high)


SHADES = " .:-=+*#%@"
"""From dark to bright, where there are no colours: a log file, a dumb terminal."""


def terminal(
    frame: npt.NDArray[Any], low: float, high: float, width: int = 32, *, colour: bool = True
) -> Text:
    """Draw a frame with half blocks, two rows of cells a line, at most `width` columns; without colours as shades."""
    every = max(1, -(-frame.shape[1] // width))
    if not colour:
        field = frame[:: 2 * every, ::every]
        if has_colours(field):
            field, low, high = field.mean(axis=-1), 0.0, 255.0
        unit = np.clip((field - low) / max(high - low, 1e-12), 0, 1)
        levels = (unit * (len(SHADES) - 1)).round().astype(int)
        return Text("".join("".join(SHADES[level] for level in row) + "\n" for row in levels))
    rgb = pixels(frame[::every, ::every], low, high)
    rgb = rgb[: len(rgb) // 2 * 2]  # two rows of cells a line
    text = Text()
    for top, bottom in zip(rgb[0::2], rgb[1::2], strict=True):
        for (r, g, b), (r2, g2, b2) in zip(top, bottom, strict=True):
            text.append("▀", style=f"rgb({r},{g},{b}) on rgb({r2},{g2},{b2})")
        text.append("\n")
    return text


def contact_sheet(frames: list[tuple[int, FloatArray]], path: Path, columns: int = 8, scale: int = 2) -> None:
    """Write all frames (step, density [H, W]) side by side as a PNG with their step numbers and one colour scale."""
    stack = np.stack([field for _, field in frames])
    low, high = float(np.percentile(stack, 1)), float(np.percentile(stack, 99))
    height, width = frames[0][1].shape[0] * scale, frames[0][1].shape[1] * scale
    rows = -(-len(frames) // columns)
    margin, label = 6, 14
    sheet = Image.new(
        "RGB", (columns * (width + margin) + margin, rows * (height + label + margin) + margin), (18, 18, 24)
    )
    draw = ImageDraw.Draw(sheet)
    for index, (number, field) in enumerate(frames):
        left = margin + (index % columns) * (width + margin)
        top = margin + (index // columns) * (height + label + margin)
        image = Image.fromarray(colours(field, low, high)).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(image, (left, top + label))
        draw.text((left, top), f"step {number}", fill=(200, 200, 210))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
