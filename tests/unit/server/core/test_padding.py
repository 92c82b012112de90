"""Padding is undone exactly, whatever the lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.padding import LengthPadding, PaddingError, cut, pad

PADDING = LengthPadding(
    lengths=(4, 8, 32), inputs={"tokens": 1, "mask": 1}, outputs={"y": 2}, values={"tokens": -1}
)


@given(st.integers(0, 32), st.integers(1, 3))
def test_a_cut_answer_is_the_answer_of_the_unpadded_call(length: int, rows: int) -> None:
    tokens = np.arange(rows * length).reshape(rows, length)
    arrays = {"tokens": tokens, "mask": np.ones((rows, length)), "other": np.zeros((rows, 5))}
    padded, own, to = pad(PADDING, arrays)
    assert own == length
    assert to == min(n for n in PADDING.lengths if n >= length)
    assert padded["tokens"].shape == padded["mask"].shape == (rows, to)
    assert (padded["tokens"][:, length:] == -1).all()
    assert (padded["mask"][:, length:] == 0).all()
    assert padded["other"] is arrays["other"]
    outputs = cut(PADDING, {"y": padded["tokens"][:, None, :], "z": padded["other"]}, own)
    np.testing.assert_array_equal(outputs["y"], tokens[:, None, :])
    assert outputs["z"] is arrays["other"]


def test_a_sequence_longer_than_every_bucket_is_refused_with_the_bound() -> None:
    with pytest.raises(PaddingError, match="input 'tokens' has length 33; at most 32"):
        pad(PADDING, {"tokens": np.zeros((1, 33))})


def test_an_output_without_the_axis_that_was_named_is_refused() -> None:
    with pytest.raises(
        PaddingError, match=r"output 'y' has shape \[3\]; its sequence is said to be on axis 2"
    ):
        cut(PADDING, {"y": np.zeros(3)}, 1)


def test_inputs_of_different_lengths_are_refused() -> None:
    with pytest.raises(PaddingError, match="expected equal ones"):
        pad(PADDING, {"tokens": np.zeros((1, 3)), "mask": np.zeros((1, 4))})
