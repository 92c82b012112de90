"""From how alike a word is to each patch, to boxes in the picture. Pure numpy: what a network is does not matter here.

Patches above the threshold that touch are one place, and each place becomes one box. (A box per patch would cut every shape
into pieces.) The grid is that of the picture's real height and width, which need not be equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atheria_server.models.text.sceneline.settings import PATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where one word points; pixels, from the picture's left upper corner."""

    token: int
    """Index of the word in the text."""
    left: int
    top: int
    right: int
    """The first column that is no longer inside."""
    bottom: int
    """The first row that is no longer inside."""
    score: float
    """Mean cosine of the word with the patches of this place, from the threshold to 1."""

    @property
    def corners(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom


def boxes_of(similarity: npt.NDArray[Any], grid: tuple[int, int], threshold: float) -> list[Box]:
    """Every place of every word of one text: [words, patches in raster order], rows and columns of patches.

    Words in order, each one's places best first. Raises ValueError where the grid does not have as many patches.
    """
    rows, columns = grid
    if similarity.shape[1] != rows * columns:
        raise ValueError(
            f"similarity is of {similarity.shape[1]} patches, but the grid of {rows} x {columns} has {rows * columns}"
        )
    found = []
    for token, cosines in enumerate(similarity.reshape(-1, rows, columns)):
        places = [_box(token, cosines, place) for place in _places(cosines > threshold)]
        found += sorted(places, key=lambda box: -box.score)
    return found


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two areas, from 0 to 1."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    common = max(width, 0) * max(height, 0)
    return common / (_area(one) + _area(other) - common)


def _area(box: Box) -> int:
    return (box.right - box.left) * (box.bottom - box.top)


def _box(token: int, cosines: npt.NDArray[Any], place: Sequence[tuple[int, int]]) -> Box:
    down, across = zip(*place, strict=True)
    return Box(
        token=token,
        left=min(across) * PATCH,
        top=min(down) * PATCH,
        right=(max(across) + 1) * PATCH,
        bottom=(max(down) + 1) * PATCH,
        score=float(np.mean([cosines[cell] for cell in place])),
    )


def _places(marked: npt.NDArray[np.bool_]) -> Iterator[list[tuple[int, int]]]:
    """The connected patches of [rows, columns], by sides and corners; places in raster order of their first patch."""
    left = {(int(row), int(column)) for row, column in np.argwhere(marked)}
    while left:
        start = min(left)
        left.discard(start)
        place, edge = [start], [start]
        while edge:
            row, column = edge.pop()
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left
            left -= near
            place += near
            edge += near
        yield place
