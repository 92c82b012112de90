"""Are these pictures that sceneline can read? Decided in the front process, before the queue, without torch."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.text.sceneline.settings import PATCH, SceneLineSizes
from atheria_server.models.text.sceneline.signature import INPUT_PICTURE
from atheria_server.models.text.sceneline.vocabulary import CAPTION_TOKENS_MAX

_COLOURS: Final = 3


def parse_pictures(given: npt.NDArray[Any], sizes: SceneLineSizes) -> npt.NDArray[np.uint8]:
    """The input as it came. Raises InvalidRequestError for a type, a shape or a size that the network cannot read."""
    if given.dtype != np.uint8:
        raise InvalidRequestError(f"input {INPUT_PICTURE} has dtype {given.dtype}; expected UINT8, 0 to 255")
    if given.ndim != 4 or given.shape[0] < 1 or given.shape[3] != _COLOURS:
        raise InvalidRequestError(
            f"input {INPUT_PICTURE} has shape {list(given.shape)}; expected [B, height, width, 3], B >= 1"
        )
    check_size(INPUT_PICTURE, given.shape[1], given.shape[2], sizes)
    return given


def check_size(source: str, height: int, width: int, sizes: SceneLineSizes) -> None:
    """Of the input `source`, before anything is made of it. Raises InvalidRequestError for a size that the network cannot read."""
    for name, side in (("height", height), ("width", width)):
        if side % PATCH or not PATCH <= side <= sizes.side_patches * PATCH:
            raise InvalidRequestError(
                f"{name} of input {source} is {side}; expected a multiple of {PATCH} from {PATCH} to "
                f"{sizes.side_patches * PATCH}"
            )
    patches = patches_of(height, width)
    most = sizes.context_length - CAPTION_TOKENS_MAX
    if patches > most:
        raise InvalidRequestError(
            f"input {source} of {height} x {width} is {patches} patches; at most {most} leave room for a caption: "
            "send a smaller picture"
        )


def patches_of(height: int, width: int) -> int:
    """Positions that a picture takes in the sequence."""
    return height // PATCH * (width // PATCH)


def content_of(picture: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    """A number below 0 for each patch of [height, width, 3], in raster order, by which a cache knows equal beginnings.

    Patches are equal only to those of pictures of equal width and height at the same place.
    """
    height, width, _ = picture.shape
    blocks = picture.reshape(height // PATCH, PATCH, width // PATCH, PATCH * _COLOURS).swapaxes(1, 2)
    size = f"{height}x{width}".encode()
    return tuple(_number(block.tobytes(), size) for row in blocks for block in row)


def _number(patch: bytes, size: bytes) -> int:
    # Not a checksum: whoever can make two pictures with equal ones would be shown what the other's cache holds.
    # 63 bits: with its sign the number has 64.
    return -1 - (int.from_bytes(hashlib.blake2b(patch, digest_size=8, person=size).digest(), "big") >> 1)
