"""Every bucket is called before ready, and its first call is timed apart from those after it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from atheria_server.models.contract import InvalidRequestError, WarmupCall
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.warm_up import TIMED_CALLS, BucketTime, warm


class Model:
    """The first call of a batch size takes 60 s, later ones a second a row."""

    def __init__(self) -> None:
        self.now = 0.0
        self.api = self
        self.computed: list[tuple[Any, int]] = []

    def warmup_calls(self, shapes: Any, rows: int) -> list[WarmupCall]:
        if (0,) in shapes:
            raise InvalidRequestError("shape [0] is empty")
        return [WarmupCall(inputs={}, parameters={"rows": rows, "size": str(shapes)})]

    def compute(self, call: WarmupCall) -> None:
        key = (call.parameters["size"], cast("int", call.parameters["rows"]))
        self.now += key[1] if key in self.computed else 60.0
        self.computed.append(key)

    def warm(self, *shapes: tuple[int, ...], **options: Any) -> list[BucketTime]:
        return list(warm(cast("LoadedModel", self), shapes, (1, 4), clock=lambda: self.now, **options))


def test_every_shape_is_called_at_every_batch_size_and_timed() -> None:
    model = Model()
    times = model.warm((2, 2), (4, 4))
    assert [(one.shape, one.rows) for one in times] == [((2, 2), 1), ((2, 2), 4), ((4, 4), 1), ((4, 4), 4)]
    assert [one.compile_seconds for one in times] == [60.0] * 4
    assert [one.run_seconds for one in times] == [1.0, 4.0, 1.0, 4.0]
    assert len(model.computed) == 4 * (1 + TIMED_CALLS)


def test_without_shapes_the_models_own_default_is_warmed_up() -> None:
    model = Model()
    assert [(one.shape, one.rows) for one in model.warm()] == [((), 1), ((), 4)]
    assert {size for size, _ in model.computed} == {"[]"}


def test_progress_says_what_is_next_and_of_how_many() -> None:
    told: list[tuple[int, int, str]] = []
    Model().warm((2, 2), progress=lambda *arguments: told.append(arguments))
    assert told == [(0, 2, "shape [2, 2], 1 rows"), (1, 2, "shape [2, 2], 4 rows")]


def test_a_shape_that_the_model_cannot_compute_is_an_error_before_anything_is_computed() -> None:
    model = Model()
    with pytest.raises(InvalidRequestError, match=r"\[0\] is empty"):
        model.warm((2, 2), (0,))
    assert model.computed == []
