"""What of an answer is drawn."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from atheria_cli.calls.frames import frame_of


def png(colour: tuple[int, int, int]) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(held, "PNG")
    return held.getvalue()


def test_the_first_field_of_the_first_output_with_two_dimensions_is_drawn() -> None:
    fields = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    frame = frame_of({"metrics": np.zeros((1, 5)), "density": fields})
    assert frame is not None
    assert frame.dtype == np.float32
    assert np.array_equal(frame, fields[0])


def test_colours_are_found_last_or_after_the_batch() -> None:
    colours = np.zeros((1, 5, 6, 3), np.float32)
    colours[..., 1] = 2.0
    for array in (colours, np.moveaxis(colours, -1, 1)):
        frame = frame_of({"image": array})
        assert frame is not None
        assert frame.shape == (5, 6, 3)
        assert frame[0, 0].tolist() == [0, 255, 0]


def test_whole_numbers_are_brightness_up_to_255() -> None:
    frame = frame_of({"image": np.full((2, 2, 3), 300, np.int64)})
    assert frame is not None
    assert frame.dtype == np.uint8
    assert frame[0, 0].tolist() == [255, 255, 255]


def test_a_finished_picture_goes_before_arrays() -> None:
    drawn = np.array([[png((9, 8, 7))]], dtype=object)
    frame = frame_of({"boxes": np.zeros((1, 32, 4), np.float32), "picture": drawn})
    assert frame is not None
    assert (frame.shape, frame[0, 0].tolist()) == ((3, 4, 3), [9, 8, 7])


def test_a_few_rows_of_whole_numbers_are_no_field_but_a_map_of_labels_is() -> None:
    assert frame_of({"boxes": np.ones((1, 32, 4), np.int32)}) is None
    assert frame_of({"labels": np.ones((1, 32, 32), np.int64)}) is not None


def test_texts_rows_and_what_only_begins_like_a_picture_are_not_drawn() -> None:
    assert frame_of({"text": np.array([b"hello"], dtype=object), "row": np.zeros((1, 8))}) is None
    assert frame_of({"broken": np.array([b"\x89PNG1234"], dtype=object)}) is None


def test_an_output_without_an_entry_is_not_drawn() -> None:
    assert frame_of({"none": np.zeros((0, 16, 16), np.float32)}) is None
