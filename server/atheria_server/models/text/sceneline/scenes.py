"""Synthetic pictures with what is true about them: 1 to 3 shapes, a caption in raster order, the patches of each word.

Equal seeds give equal scenes. Called by training, by the quality gate's golden calls and by tests; numpy
alone, so that the front process can call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atheria_server.models.text.sceneline.settings import PATCH
from atheria_server.models.text.sceneline.vocabulary import (
    AND,
    BEGIN,
    CAPTION_TOKENS_MAX,
    COLOURS,
    END,
    FIRST_COLOUR,
    FIRST_SHAPE,
    PAD,
    SHAPES,
    decode,
)

SIDE_DEFAULT: Final = 64
CELL: Final = 21
"""Pixels; the picture is divided into squares of this size, and each holds one shape at most."""
SHAPES_MAX: Final = 3
COVERED: Final = 0.08
"""Share of a patch that a shape must cover for the patch to belong to it: less cannot be told from noise."""

_RGB: Final = np.array([[1, 0.1, 0.1], [0.1, 1, 0.1], [0.1, 0.2, 1], [1, 1, 0.1]], np.float32)
"""Of COLOURS."""
_BACKGROUND: Final = 0.25
_BACKGROUND_NOISE: Final = 0.12
_SHAPE_NOISE: Final = 0.05
_RADIUS: Final = (6, 9)
"""From, below; pixels."""
_JITTER: Final = 2
"""Pixels that a shape is off its cell's centre, at most, along each axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenes:
    """Scenes of one size."""

    pictures: npt.NDArray[np.uint8]
    """[scenes, height, width, 3], RGB."""
    tokens: npt.NDArray[np.int64]
    """[scenes, CAPTION_TOKENS_MAX]: `<bos>`, the caption, `<eos>`, then `<pad>`."""
    patches: npt.NDArray[np.bool_]
    """[scenes, CAPTION_TOKENS_MAX, patches in raster order]: where the shape is that the word names; none for a word
    that names none."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.pictures.shape[1] // PATCH, self.pictures.shape[2] // PATCH

    @property
    def captions(self) -> Sequence[str]:
        """In words."""
        return [decode(row) for row in self.tokens.tolist()]


def make_scenes(seed: int, count: int, height: int = SIDE_DEFAULT, width: int = SIDE_DEFAULT) -> Scenes:
    """`count` scenes of one size in pixels, which must be multiples of PATCH and hold a cell.

    Raises ValueError that names the side otherwise.
    """
    for name, side in (("height", height), ("width", width)):
        if side % PATCH or side < CELL:
            raise ValueError(f"{name} is {side}; expected a multiple of {PATCH} from {3 * PATCH}")
    generator = np.random.default_rng([seed, height, width])
    rows, columns = height // CELL, width // CELL
    shapes = generator.integers(1, min(SHAPES_MAX, rows * columns) + 1, count)
    cells = _cells(generator, rows * columns, shapes)
    pictures = _BACKGROUND + _BACKGROUND_NOISE * generator.standard_normal(
        (count, height, width, 3), np.float32
    )
    tokens = np.full((count, CAPTION_TOKENS_MAX), PAD, np.int64)
    tokens[:, 0] = BEGIN
    patches = np.zeros((count, CAPTION_TOKENS_MAX, height // PATCH * (width // PATCH)), np.bool_)
    for slot in range(cells.shape[1]):
        there = slot < shapes
        colour, shape = generator.integers(0, len(COLOURS), count), generator.integers(0, len(SHAPES), count)
        inside = _inside(generator, cells[:, slot], columns, shape, (height, width)) & there[:, None, None]
        paint = _RGB[colour][:, None, None] + _SHAPE_NOISE * generator.standard_normal(
            pictures.shape, np.float32
        )
        pictures = np.where(inside[..., None], paint, pictures)
        covered = _coverage(inside) > COVERED
        for place, token in ((1, FIRST_COLOUR + colour), (2, FIRST_SHAPE + shape)):
            tokens[there, 3 * slot + place] = token[there]
            patches[there, 3 * slot + place] = covered[there]
        tokens[there, 3 * slot + 3] = np.where(slot + 1 < shapes, AND, END)[there]
    return Scenes(
        pictures=(pictures * 255).clip(0, 255).round().astype(np.uint8), tokens=tokens, patches=patches
    )


def _cells(
    generator: np.random.Generator, cells: int, shapes: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """[scenes, SHAPES_MAX at most]: different cells, each scene's first `shapes` of them in raster order."""
    most = min(SHAPES_MAX, cells)
    drawn = generator.random((len(shapes), cells)).argsort(axis=1)[:, :most]
    drawn[np.arange(most) >= shapes[:, None]] = cells
    return np.minimum(np.sort(drawn, axis=1), cells - 1)


def _inside(
    generator: np.random.Generator,
    cells: npt.NDArray[np.int64],
    columns: int,
    shape: npt.NDArray[np.int64],
    size: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """[scenes, height, width]: the pixels of one shape in each scene."""
    centres = [cells // columns, cells % columns]
    down, across = (
        np.abs(
            np.arange(side)
            - (CELL * centre + CELL // 2 + generator.integers(-_JITTER, _JITTER + 1, len(cells)))[:, None]
        )
        for side, centre in zip(size, centres, strict=True)
    )
    y, x = down[:, :, None], across[:, None, :]
    radius = generator.integers(*_RADIUS, len(cells))[:, None, None]
    square = (y <= radius) & (x <= radius)
    disc = y**2 + x**2 <= radius**2
    cross = ((y <= 1) & (x <= radius)) | ((x <= 1) & (y <= radius))
    kind = shape[:, None, None]
    return np.where(kind == 0, square, np.where(kind == 1, disc, cross))


def _coverage(inside: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[scenes, height, width] -> [scenes, patches]: the share of each patch that is inside."""
    count, height, width = inside.shape
    blocks = inside.reshape(count, height // PATCH, PATCH, width // PATCH, PATCH)
    shares: npt.NDArray[np.float64] = blocks.mean((2, 4)).reshape(count, -1)
    return shares
