"""What the operator has learnt of the calls outlives it; what cannot be true, or was long ago, is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain.scaling.learnt import (
    AGAIN_SECONDS,
    CONFIRM_SECONDS,
    LEAST_SECONDS,
    MOST_SECONDS,
    Measured,
    restored,
    service_time_status,
)
from atheria_operator.domain.scaling.service_time import ServiceTime, measured
from atheria_operator.domain.scaling.windows import Mark

NOW = "2026-11-21T12:00:00Z"


def status(seconds: Any = 0.25, at: str = "2026-11-21T11:00:00Z", revision: str = "qca-a") -> dict[str, Any]:
    return {
        "activeRevision": "qca-a",
        "serviceTime": {"revision": revision, "seconds": seconds, "measuredAt": at},
    }


def test_what_was_stored_is_what_is_restored() -> None:
    stored = service_time_status(None, Measured(revision="qca-a", seconds=0.12345, at=NOW))
    assert stored == {"revision": "qca-a", "seconds": 0.123, "measuredAt": NOW}
    assert restored({"activeRevision": "qca-a", "serviceTime": stored}, NOW).seconds == 0.123


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"serviceTime": "0.25"},
        {"serviceTime": {}, "activeRevision": None},
        status(revision="qca-b"),
        status(at="2026-11-14T11:00:00Z"),
        status(at="2026-11-21T13:00:00Z"),
        status(at="yesterday"),
        status(at="2026-11-21T11:00:00"),
        status(0),
        status(-1),
        status(1e-6),
        status(1e6),
        status(float("nan")),
        status(float("inf")),
        status(None),
        status("many"),
        status([1]),
    ],
)
def test_what_is_stale_or_silly_is_not_believed(stored: dict[str, Any]) -> None:
    assert restored(stored, NOW) == ServiceTime()


@given(st.floats(LEAST_SECONDS, MOST_SECONDS))
def test_a_restored_value_agrees_with_its_sums_and_is_soon_outweighed(seconds: float) -> None:
    found = restored(status(seconds), NOW)
    assert found.seconds == seconds
    assert found.busy_seconds / found.ended == pytest.approx(seconds)
    # A call that ends does not make it a second, as the first one of all would.
    last, now = Mark(at_seconds=0.0), Mark(at_seconds=1.0, ended=1, busy_seconds=seconds)
    after = measured(found, last, now, fade_seconds=180).seconds
    assert after == pytest.approx(seconds, rel=0.02)
    # Ten times the calls, each twice as long, and it has followed.
    many = Mark(at_seconds=1.0, ended=int(found.ended * 10), busy_seconds=found.ended * 20 * seconds)
    assert measured(found, last, many, fade_seconds=180).seconds == pytest.approx(2 * seconds, rel=0.1)


def test_a_value_that_hardly_changed_is_not_written_again_and_no_value_twice_a_minute() -> None:
    before = {"revision": "qca-a", "seconds": 0.2, "measuredAt": "2026-11-21T12:00:00Z"}

    def after(seconds: float, at: str, revision: str = "qca-a") -> Any:
        return service_time_status(before, Measured(revision=revision, seconds=seconds, at=at))

    assert (AGAIN_SECONDS, CONFIRM_SECONDS) == (60, 3600)
    assert after(0.21, "2026-11-21T12:59:59Z") is before
    assert after(0.21, "2026-11-21T13:00:00Z")["seconds"] == 0.21
    assert after(0.4, "2026-11-21T12:00:59Z") is before
    assert after(0.4, "2026-11-21T12:01:00Z")["seconds"] == 0.4
    # Another revision, and a clock that was put back, at once.
    assert after(0.2, "2026-11-21T12:00:01Z", "qca-b")["revision"] == "qca-b"
    assert after(0.2, "2026-11-21T11:00:00Z")["measuredAt"] == "2026-11-21T11:00:00Z"


def test_what_is_stored_stays_while_nothing_sensible_is_measured() -> None:
    before = {"revision": "qca-a", "seconds": 0.2, "measuredAt": NOW}
    assert service_time_status(before, None) is before
    assert service_time_status(None, None) is None
    for seconds in (0.0, float("nan"), MOST_SECONDS * 2):
        assert service_time_status(before, Measured(revision="qca-a", seconds=seconds, at=NOW)) is before
    assert service_time_status(before, Measured(revision="", seconds=1.0, at=NOW)) is before
