"""What was counted of a canary's step is in the status: for people, and for the operator that starts next."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.stored import read_counted, write_counted
from atheria_operator.domain.status.summary import COUNTED_SECONDS, needs_write

figures = st.builds(
    lambda errors, latency: CallFigures(calls=errors + sum(latency.values()), errors=errors, latency=latency),
    st.integers(0, 10**9),
    st.dictionaries(st.floats(1e-6, 1e5), st.integers(1, 10**9), max_size=100),
)


def clock(seconds: float) -> str:
    return f"2026-01-01T00:00:{int(seconds):02d}Z"


@given(st.dictionaries(st.sampled_from(["a", "b"]), figures))
def test_what_was_stored_comes_back(counted: dict[str, CallFigures]) -> None:
    stored = json.loads(json.dumps(write_counted(counted, clock(0))))
    has_calls = any(one.calls for one in counted.values())
    assert read_counted({"rollout": stored}) == (counted if has_calls else {})


def test_people_see_the_percentile() -> None:
    (line,) = write_counted({"a": CallFigures(calls=100, errors=1, latency={0.1: 100})}, clock(0))["counted"]
    assert (line["calls"], line["errors"], line["p95Seconds"]) == (100, 1, 0.095)


def test_calls_alone_are_written_only_now_and_then() -> None:
    def status(calls: int, at_seconds: float, **rollout: Any) -> dict[str, Any]:
        counted = write_counted({"b": CallFigures(calls=calls)}, clock(at_seconds))
        return {"rollout": {"phase": "CanaryStep", **counted, **rollout}}

    assert needs_write({"rollout": {"phase": "CanaryStep"}}, status(1, 0))
    assert not needs_write(status(1, 0), status(50, COUNTED_SECONDS - 1))
    assert needs_write(status(1, 0), status(50, COUNTED_SECONDS))
    assert needs_write(status(1, 30), status(50, 5)), "the clock was put back"
    assert not needs_write(status(50, 0), status(50, COUNTED_SECONDS))
    assert needs_write(status(1, 0), status(1, 0, step=1))


def test_the_empty_list_that_the_api_server_stores_by_default_is_not_written_again_and_again() -> None:
    stored: dict[str, Any] = {"rollout": {"phase": "Starting", "counted": []}}
    assert not needs_write(stored, {"rollout": {"phase": "Starting"}})
