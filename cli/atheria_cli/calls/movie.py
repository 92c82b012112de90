"""Frames of a stream as a moving picture: a film (H.264 in .mp4) or an animated picture. Called by `stream`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from atheria_cli.calls.inputs import Array
from atheria_cli.errors import CommandError
from atheria_cli.output_file import check_output_file
from atheria_cli.picture import has_colours, pixels

PICTURES: Final = (".gif", ".webp", ".png")
"""Animated; .png is an APNG."""
FILM: Final = ".mp4"
_CODEC: Final = "h264"
_QUALITY: Final = {"crf": "18"}
"""x264's constant quality; 18 cannot be told from the original by eye."""
_SMALLEST_SIDE: Final = 256
"""Pixels: smaller frames are enlarged by whole factors."""


def check_movie(path: Path) -> None:
    """Before the call is made: raises CommandError for a name that the answer could not be saved as, or without PyAV for a film."""
    check_output_file("--save", path, (FILM, *PICTURES))
    if path.suffix.lower() != FILM:
        return
    if find_spec("av") is None:
        raise CommandError(f"--save {path} needs PyAV: pip install 'atheria[movie]', or save as .gif")
    import av.codec

    try:
        av.codec.Codec(_CODEC, "w")
    except ValueError as error:
        raise CommandError(
            f"--save {path}: the installed PyAV has no {_CODEC} encoder: pip install 'atheria[movie]', or save as .gif"
        ) from error


def save_movie(
    path: Path, frames: Sequence[Array], fps: float, progress: Callable[[int], None] = lambda _: None
) -> None:
    """`frames` of one size, fields [H, W] on one colour scale (1st to 99th percentile of all) or pixels [H, W, 3].

    `progress` is told how many frames are drawn. Raises CommandError.
    """
    different = {frame.shape for frame in frames}
    if len(different) > 1:
        raise CommandError(
            f"{path}: frames differ in size ({', '.join(str(list(shape)) for shape in sorted(different))}); name one output with --want"
        )
    try:
        if path.suffix.lower() == FILM:
            _film(path, _drawn(frames, progress), fps)
        else:
            first, *others = (Image.fromarray(frame) for frame in _drawn(frames, progress))
            first.save(path, save_all=True, append_images=others, duration=1000 / fps, loop=0)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror or error}") from error


def _drawn(frames: Sequence[Array], progress: Callable[[int], None]) -> Iterator[Array]:
    """Pixels [H, W, 3], large enough to see."""
    low, high = 0.0, 1.0
    if not has_colours(frames[0]):
        low, high = (float(limit) for limit in np.percentile(np.stack(frames), (1, 99)))
    for number, frame in enumerate(frames, start=1):
        scale = max(1, _SMALLEST_SIDE // min(frame.shape[:2]))
        yield pixels(frame, low, high).repeat(scale, axis=0).repeat(scale, axis=1)
        progress(number)


def _film(path: Path, frames: Iterator[Array], fps: float) -> None:
    """With sides that are even, as 4:2:0 asks for: the last row or column is shown twice where need be."""
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream(_CODEC, rate=Fraction(fps).limit_denominator(1000), options=_QUALITY)
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            height, width = frame.shape[:2]
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if number == 0:
                stream.height, stream.width = even.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
