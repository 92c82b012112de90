"""Golden calls: the LitAPI's own in parts that fit a batch, or warm-up calls whose zeros have become noise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from atheria_server.core.quality import QualityError
from atheria_server.core.tensors import BF16, bfloat16_of, float32_of
from atheria_server.models.contract import InvalidRequestError, ValidCall, WarmupCall
from atheria_server.models.echo import EchoApi
from atheria_server.models.qca.api import QcaApi
from atheria_server.optimize.quality import golden_calls


class Tokens:
    """Takes whole numbers below 10 of one length."""

    def validate(self, inputs: Any, parameters: Any, *, streaming: bool) -> ValidCall:
        if inputs["tokens"].dtype != np.int64:
            raise InvalidRequestError("tokens must be INT64")
        return ValidCall(inputs=inputs, rows=len(inputs["tokens"]))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"tokens": np.zeros((rows, 4), np.int64)})]


class Picky(Tokens):
    """Takes zeros only."""

    def validate(self, inputs: Any, parameters: Any, *, streaming: bool) -> ValidCall:
        if inputs["x"].any():
            raise InvalidRequestError("x must be zero")
        return ValidCall(inputs=inputs, rows=len(inputs["x"]))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"x": np.zeros((rows, 4), np.float32)})]


class Shared(Tokens):
    """An input that belongs to no row."""

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"tokens": np.ones((count, 1), np.int64), "style": np.ones(3, np.int64)})]


def rows(calls: Sequence[WarmupCall]) -> list[int]:
    return [len(next(iter(call.inputs.values()))) for call in calls]


def test_the_litapis_own_calls_are_split_into_parts_of_a_batch_in_order() -> None:
    calls = golden_calls(QcaApi({}), [(16, 16, 16)], 5, 2)
    assert rows(calls) == [2, 2, 1] * 4
    assert [call.parameters["steps"] for call in calls] == [1] * 3 + [8] * 3 + [16] * 3 + [32] * 3
    assert np.concatenate([call.inputs["seed"] for call in calls[:3]]).tolist() == [0, 1, 2, 3, 4]
    assert all(call.parameters["height"] == 16 for call in calls)


def test_a_call_that_fits_is_left_whole() -> None:
    assert rows(golden_calls(QcaApi({}), [(16, 16, 16)], 5, 5)) == [5] * 4


def test_a_call_whose_inputs_are_not_all_by_row_is_not_split() -> None:
    with pytest.raises(QualityError, match="has 5 rows and cannot be split, the largest batch is 2"):
        golden_calls(Shared(), [], 5, 2)


def test_zeros_of_a_model_without_golden_calls_become_the_same_noise_each_time() -> None:
    calls = golden_calls(EchoApi({}), [(8,)], 5, 2)
    again = golden_calls(EchoApi({}), [(8,)], 5, 2)
    assert rows(calls) == [2, 2, 1]
    whole = np.concatenate([call.inputs["x"] for call in calls])
    assert whole.dtype == np.float32
    assert len(np.unique(whole)) == whole.size
    assert np.array_equal(whole, np.concatenate([call.inputs["x"] for call in again]))


def test_inputs_that_the_model_refuses_as_noise_stay_and_the_log_says_that_they_prove_little(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "atheria.quality"):
        calls = golden_calls(Picky(), [], 2, 8)
    assert not calls[0].inputs["x"].any()
    assert "event=golden_inputs_constant litapi=Picky" in caplog.text


def test_whole_numbers_are_never_made_up(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "atheria.quality"):
        (call,) = golden_calls(Tokens(), [], 2, 8)
    assert not call.inputs["tokens"].any()
    assert "event=golden_inputs_constant" in caplog.text


def test_the_users_requests_come_on_top(caplog: pytest.LogCaptureFixture) -> None:
    request = WarmupCall(inputs={"tokens": np.array([[1, 2, 3, 4]])})
    with caplog.at_level(logging.WARNING, "atheria.quality"):
        calls = golden_calls(Tokens(), [], 2, 8, requests=[request])
    assert calls[-1] is request
    assert not caplog.records


class Empty(Tokens):
    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        return []


def test_a_model_without_any_call_cannot_be_judged() -> None:
    with pytest.raises(QualityError, match="Empty has no golden call"):
        golden_calls(Empty(), [], 2, 8)


@pytest.mark.parametrize(("count", "max_rows"), [(0, 1), (1, 0)])
def test_no_rows_are_no_ensemble(count: int, max_rows: int) -> None:
    with pytest.raises(QualityError, match="both must be at least 1"):
        golden_calls(EchoApi({}), [], count, max_rows)


class Broken(Tokens):
    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        raise KeyError("vocabulary")


def test_golden_calls_that_cannot_be_made_are_an_error_that_names_the_litapi() -> None:
    with pytest.raises(QualityError, match="golden calls of Broken cannot be made: KeyError: 'vocabulary'"):
        golden_calls(Broken(), [], 2, 8)
    with pytest.raises(
        QualityError, match=r"golden calls of QcaApi cannot be made: .* expected \[16, H, W\]"
    ):
        golden_calls(QcaApi({}), [(3, 3)], 2, 8)


class Brain(Tokens):
    """Takes BF16."""

    def validate(self, inputs: Any, parameters: Any, *, streaming: bool) -> ValidCall:
        return ValidCall(inputs=inputs, rows=len(inputs["x"]))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"x": bfloat16_of(np.zeros((rows, 4)))})]


def test_zeros_of_bfloat16_become_noise_of_bfloat16() -> None:
    (call,) = golden_calls(Brain(), [], 2, 8)
    assert call.inputs["x"].dtype == BF16
    assert np.isfinite(float32_of(call.inputs["x"])).all()
    assert len(np.unique(float32_of(call.inputs["x"]))) > 4
