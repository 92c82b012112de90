"""Which calls may share a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from atheria_server.engine.calls import body_call, described_call, plain_call
from atheria_server.models.contract import ValidCall


def described(x: Any = ((1.0, 2.0),), key: Any = (), **parameters: Any) -> Any:
    array = np.asarray(x, np.float32)
    valid = ValidCall(inputs={"x": array}, parameters=parameters, rows=len(array), batch_key=key)
    return described_call(valid, (), streaming=False).bucket


def test_calls_that_differ_only_in_rows_and_values_share_a_bucket() -> None:
    assert described([[1.0, 2.0]], steps=1) == described([[3.0, 4.0], [5.0, 6.0]], steps=1)


@pytest.mark.parametrize(
    "other",
    [
        described([[1.0]], steps=1),
        described(steps=2),
        described(steps=True),
        described(steps=1.0),
        described(steps=1, more="x"),
        described(steps=1, key=("k",)),
    ],
)
def test_calls_that_differ_in_shape_parameters_or_key_do_not(other: Any) -> None:
    assert described(steps=1) != other


def test_plain_calls_are_stacked_so_their_whole_shape_counts() -> None:
    one = plain_call({"x": np.zeros((1, 2))}, {}, (), streaming=False)
    two = plain_call({"x": np.zeros((2, 2))}, {}, (), streaming=False)
    assert one.bucket != two.bucket
    assert one.bucket != body_call("/predict", (), streaming=False).bucket
    assert two.size_bytes == 32


def test_bodies_of_one_route_share_a_bucket_and_count_all_their_bytes() -> None:
    call = body_call("/predict", (b"[1]", b"x" * 1000), streaming=False)
    assert call.size_bytes == 1003
    assert call.bucket == body_call("/predict", (b"",), streaming=False).bucket
    assert call.bucket != body_call("/other", (b"",), streaming=False).bucket
