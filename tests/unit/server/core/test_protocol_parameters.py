"""What the protocol's own parameters say of a call, and that a wrong one is named with what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_server.core.errors import InvalidCallError
from atheria_server.core.infer import InferRequest
from atheria_server.core.protocol_parameters import (
    PROTOCOL_PARAMETERS,
    first_frame,
    of_model,
    patience_seconds,
    priority,
)
from atheria_server.core.request import PRIORITY_DEFAULT, PRIORITY_LOWEST


def test_the_model_gets_its_own_parameters_alone() -> None:
    assert of_model({**dict.fromkeys(PROTOCOL_PARAMETERS, 1), "steps": 8}) == {"steps": 8}


@pytest.mark.parametrize(
    ("deadline_seconds", "timeout", "expected"),
    [(None, None, None), (2.0, None, 2.0), (None, 500_000, 0.5), (2.0, 500_000, 0.5), (0.1, 500_000, 0.1), (2.0, 0, 2.0)],
)  # fmt: skip
def test_a_caller_waits_for_the_lesser_of_its_deadline_and_its_timeout(
    deadline_seconds: float | None, timeout: int | None, expected: float | None
) -> None:
    given = {} if timeout is None else {"timeout": timeout}
    request = InferRequest(model_name="m", inputs={}, parameters=given, timeout_seconds=deadline_seconds)
    assert patience_seconds(request) == expected


def test_what_is_not_said_is_the_first_frame_and_the_usual_priority() -> None:
    assert (first_frame({}), priority({}), priority({"priority": 0})) == (
        0,
        PRIORITY_DEFAULT,
        PRIORITY_DEFAULT,
    )
    assert (first_frame({"from_frame": 3}), priority({"priority": PRIORITY_LOWEST})) == (3, PRIORITY_LOWEST)


def _patience_seconds(parameters: Mapping[str, Any]) -> float | None:
    return patience_seconds(InferRequest(model_name="m", inputs={}, parameters=parameters))


@pytest.mark.parametrize("value", [-1, True, 1.5, "1"])
@pytest.mark.parametrize(
    ("name", "read"), [("from_frame", first_frame), ("priority", priority), ("timeout", _patience_seconds)]
)
def test_a_wrong_one_is_named_with_its_value_and_what_is_allowed(
    name: str, read: Callable[[Mapping[str, Any]], object], value: Any
) -> None:
    with pytest.raises(InvalidCallError, match=f"parameter {name} is {value!r}; expected"):
        read({name: value})
