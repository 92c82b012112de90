"""Patches that touch become one box in pixels of the real picture, whatever its sides."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from atheria_server.models.text.sceneline.boxes import Box, boxes_of, overlap
from atheria_server.models.text.sceneline.picture import draw_boxes, png


def _cosines(grid: list[str]) -> np.ndarray:
    """A row of text a row of patches; `#` is 0.9, `+` is 0.7, anything else 0.1."""
    return np.array([[{"#": 0.9, "+": 0.7}.get(one, 0.1) for row in grid for one in row]])


def test_touching_patches_are_one_box_and_others_another() -> None:
    grid = ["##....", "##....", "......", "....+.", ".....+"]
    boxes = boxes_of(_cosines(grid), (5, 6), 0.5)
    assert [box.corners for box in boxes] == [(0, 0, 16, 16), (32, 24, 48, 40)]
    assert [box.score for box in boxes] == pytest.approx([0.9, 0.7])


def test_a_picture_that_is_wider_than_high_has_its_own_columns() -> None:
    cosines = np.full((1, 96), -1.0)
    cosines[0, 12 * 3 + 10] = 1
    assert boxes_of(cosines, (8, 12), 0.5)[0].corners == (80, 24, 88, 32)
    assert boxes_of(cosines, (12, 8), 0.5)[0].corners == (48, 40, 56, 48)


def test_places_of_a_word_come_best_first_and_words_in_order() -> None:
    first, second = _cosines(["+.#"]), _cosines(["#.."])
    boxes = boxes_of(np.concatenate([first, second]), (1, 3), 0.5)
    assert [(box.token, box.left) for box in boxes] == [(0, 16), (0, 0), (1, 0)]


def test_a_ring_is_one_box() -> None:
    assert len(boxes_of(_cosines(["###", "#.#", "###"]), (3, 3), 0.5)) == 1


def test_nothing_above_the_threshold_gives_no_box() -> None:
    assert boxes_of(_cosines(["++", "++"]), (2, 2), 0.7) == []


def test_a_grid_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="of 4 patches, but the grid of 3 x 2 has 6"):
        boxes_of(_cosines(["##", "##"]), (3, 2), 0.5)


def _box(token: int = 1) -> Box:
    return Box(token=token, left=8, top=16, right=24, bottom=32, score=0.8)


def test_a_box_is_drawn_around_its_pixels_and_the_rest_is_as_it_was() -> None:
    picture = np.full((40, 48, 3), 7, np.uint8)
    drawn = draw_boxes(picture, [_box()], scale=2)
    changed = np.argwhere((drawn != 7).any(-1))
    assert drawn.shape == (80, 96, 3)
    assert (changed.min(0).tolist(), changed.max(0).tolist()) == ([32, 16], [63, 47])
    assert (drawn[34:62, 18:46] == 7).all()
    assert (picture == 7).all()


def test_words_that_share_a_place_are_both_seen() -> None:
    drawn = draw_boxes(np.zeros((40, 48, 3), np.uint8), [_box(1), _box(2)], scale=4)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 3


def test_the_png_holds_the_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 3, 3)).astype(np.uint8)
    data = png(picture)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    kinds, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length]) == (
            zlib.crc32(kind + body),
        )
        kinds[kind] = body
        place += 12 + length
    assert struct.unpack(">IIBBBBB", kinds[b"IHDR"]) == (3, 5, 8, 2, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(kinds[b"IDAT"]), np.uint8).reshape(5, 10)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:].reshape(5, 3, 3) == picture).all()


def test_overlap_is_the_common_area_over_the_whole() -> None:
    one = _box()
    assert overlap(one, one) == 1
    assert overlap(one, Box(token=1, left=16, top=16, right=32, bottom=32, score=1)) == pytest.approx(1 / 3)
    assert overlap(one, Box(token=1, left=24, top=16, right=32, bottom=32, score=1)) == 0
