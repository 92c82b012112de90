"""A picture with its boxes drawn, as PNG. Written here because the server image has no imaging library, and needs none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from atheria_server.models.text.sceneline.boxes import Box

Picture = npt.NDArray[np.uint8]

SCALE: Final = 4
"""Pixels drawn for one of the picture, so that a box's line hides little of it."""
INK: Final = ((255, 255, 255), (255, 128, 0), (255, 0, 255), (0, 255, 255))
"""Of the boxes, by the word that points: words in order, then from the first again."""
_DEPTH_MAX: Final = 8
"""Outlines inside one another, after which they cover the outermost again."""
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR: Final = 2


def draw_boxes(picture: Picture, boxes: Sequence[Box], scale: int = SCALE) -> Picture:
    """[height, width, 3] -> [scale * height, scale * width, 3]; words that share a place share its outline, side by side."""
    drawn = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    words = sorted({box.token for box in boxes})
    depth: dict[tuple[int, int, int, int], int] = {}
    for box in boxes:
        inset = depth.get(box.corners, 0) % _DEPTH_MAX
        depth[box.corners] = inset + 1
        _outline(drawn, box, scale, inset, INK[words.index(box.token) % len(INK)])
    return drawn


def png(picture: Picture) -> bytes:
    """The file of UINT8 [height, width, 3], RGB; equal pictures give equal bytes."""
    height, width, _ = picture.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = picture.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _TRUE_COLOUR, 0, 0, 0)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _outline(drawn: Picture, box: Box, scale: int, inset: int, ink: tuple[int, int, int]) -> None:
    left, top, right, bottom = (scale * edge for edge in box.corners)
    left, top, right, bottom = left + inset, top + inset, right - inset - 1, bottom - inset - 1
    drawn[[top, bottom], left : right + 1] = ink
    drawn[top : bottom + 1, [left, right]] = ink


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
