"""Pictures that cannot be read are refused before the queue; equal patches are known as such."""

from __future__ import annotations

import numpy as np
import pytest

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.text.sceneline.settings import SIZES
from atheria_server.models.text.sceneline.validate import content_of, parse_pictures, patches_of

SMALL = SIZES["small"]


def _picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (3, 64, 96, 3), (1, 8, 256, 3), (1, 128, 192, 3)])
def test_a_picture_of_whole_patches_is_taken_as_it_is(shape: tuple[int, ...]) -> None:
    given = _picture(*shape)
    assert parse_pictures(given, SMALL) is given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (_picture(1, 64, 64, 3).astype(np.float32), "has dtype float32; expected UINT8"),
        (_picture(64, 64, 3), r"has shape \[64, 64, 3\]; expected \[B, height, width, 3\]"),
        (_picture(1, 3, 64, 64), r"expected \[B, height, width, 3\]"),
        (_picture(1, 60, 64, 3), "height of input image is 60; expected a multiple of 8 from 8 to 256"),
        (_picture(1, 64, 264, 3), "width of input image is 264"),
        (_picture(1, 192, 192, 3), "is 576 patches; at most 502 leave room"),
    ],
)
def test_what_the_network_cannot_read_is_refused_with_what_it_can(given: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        parse_pictures(given, SMALL)


def test_equal_beginnings_of_pictures_have_equal_content_below_every_token() -> None:
    one = _picture(64, 96, 3)
    other = one.copy()
    other[40, 50] += 1  # in the sixth row of patches, the seventh of twelve
    first, second = content_of(one), content_of(other)
    assert len(first) == patches_of(64, 96) == 96
    assert [index for index in range(96) if first[index] != second[index]] == [5 * 12 + 6]
    assert max(first) < 0


def test_equal_patches_of_pictures_of_other_sides_are_not_equal_content() -> None:
    assert not set(content_of(np.zeros((64, 96, 3), np.uint8))) & set(
        content_of(np.zeros((96, 64, 3), np.uint8))
    )
