"""What of an answer can be seen: a field, or a picture. Used by `infer --save x.png` and by `stream`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from atheria_cli.calls.inputs import Array

PNG: Final = b"\x89PNG"
_RGB: Final = 3
_LEAST_LABELS: Final = 8
"""Sides of a field of whole numbers."""


def finished_picture(array: Array) -> bytes | None:
    """The PNG in an output of BYTES; None where it holds none."""
    if array.dtype != object or not array.size:
        return None
    first = bytes(array.reshape(-1)[0])
    return first if first.startswith(PNG) else None


def frame_of(outputs: Mapping[str, Array]) -> Array | None:
    """The first finished picture, or else the first output that can be drawn; None where nothing can.

    Pixels [H, W, 3] uint8 of a PNG or of an output with three colours (last, or after the batch); a field [H, W] float32 of any
    other output with two dimensions of at least 2, of whole numbers of at least 8. Of a batch, the first.
    """
    for array in outputs.values():
        if (png := finished_picture(array)) is not None:
            try:
                with Image.open(io.BytesIO(png)) as image:
                    return np.asarray(image.convert("RGB"))
            except (OSError, UnidentifiedImageError):
                continue
    for array in outputs.values():
        if (frame := _frame(array)) is not None:
            return frame
    return None


def _frame(array: Array) -> Array | None:
    if array.dtype.kind not in "fiu" or array.ndim < 2 or not array.size:
        return None
    if array.ndim >= 4 and array.shape[-3] == _RGB and array.shape[-1] != _RGB:
        array = np.moveaxis(array, -3, -1)
    has_rgb = array.ndim >= 3 and array.shape[-1] == _RGB
    wanted = 3 if has_rgb else 2
    array = array[(0,) * (array.ndim - wanted)]
    # A few rows of whole numbers are boxes or tokens, and no picture.
    if min(array.shape[:2]) < (2 if array.dtype.kind == "f" or has_rgb else _LEAST_LABELS):
        return None
    if not has_rgb:
        field: Array = array.astype(np.float32)
        return field
    largest = 1.0 if array.dtype.kind == "f" else 255.0
    found: Array = (np.clip(array, 0, largest) * (255.0 / largest)).astype(np.uint8)
    return found
