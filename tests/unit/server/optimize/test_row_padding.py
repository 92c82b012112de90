"""A batch is filled up with its own last row, and nobody sees it."""

from __future__ import annotations

import numpy as np

from atheria_server.models.contract import Batch
from atheria_server.optimize.row_padding import cut, padded

BATCH = Batch(
    inputs={
        "x": np.arange(6, dtype=np.float32).reshape(3, 2),
        "text": np.array([b"a", b"b", b"c"], object),
    },
    parameters={"steps": 8},
    rows=3,
)


def test_what_fills_a_batch_is_its_last_row_once_more() -> None:
    full = padded(BATCH, (1, 2, 8))
    assert full.rows == 8
    assert full.parameters == {"steps": 8}
    assert full.inputs["x"].dtype == np.float32
    assert full.inputs["x"][2:].tolist() == [[4, 5]] * 6
    assert full.inputs["text"].tolist() == [b"a", b"b"] + [b"c"] * 6
    assert full.inputs["x"][:3].tolist() == BATCH.inputs["x"].tolist()


def test_a_batch_of_a_compiled_size_is_not_copied() -> None:
    assert padded(BATCH, (1, 3)) is BATCH


def test_a_batch_beyond_the_largest_size_stays_as_it_is() -> None:
    assert padded(BATCH, (1, 2)) is BATCH


def test_outputs_are_cut_to_the_rows_that_were_asked_for() -> None:
    outputs = cut({"y": np.arange(8), "z": np.zeros((8, 2))}, 3)
    assert outputs["y"].tolist() == [0, 1, 2]
    assert outputs["z"].shape == (3, 2)
