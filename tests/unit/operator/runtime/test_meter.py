"""What a call takes is kept with the revision that took it, and only while calls end."""

from __future__ import annotations

from typing import Any

from atheria_operator.domain.scaling.learnt import Measured
from atheria_operator.domain.scaling.service_time import ServiceTime
from atheria_operator.runtime.meter import Meter


class Clock:
    def __init__(self) -> None:
        self.wall = "2026-11-21T12:00:00Z"

    def now(self) -> str:
        return self.wall


def meter(status: dict[str, Any]) -> tuple[Meter, Clock]:
    clock: Any = Clock()
    return Meter(clock, status), clock


def test_after_a_start_it_begins_with_what_is_stored_and_has_measured_nothing_itself() -> None:
    stored = {"revision": "qca-a", "seconds": 0.5, "measuredAt": "2026-11-21T10:00:00Z"}
    found, _ = meter({"activeRevision": "qca-a", "serviceTime": stored})
    assert found.service.seconds == 0.5
    assert found.measured is None


def test_sums_that_only_fade_are_no_new_measurement() -> None:
    found, clock = meter({})
    found.learn(ServiceTime(busy_seconds=2.0, ended=4.0, seconds=0.5), "qca-a")
    clock.wall = "2026-11-21T12:30:00Z"
    found.learn(ServiceTime(busy_seconds=0.2, ended=0.4, seconds=1.0), "qca-a")
    assert found.measured == Measured(revision="qca-a", seconds=0.5, at="2026-11-21T12:00:00Z")
    found.learn(ServiceTime(busy_seconds=3.0, ended=10.0, seconds=0.3), "qca-b")
    assert found.measured == Measured(revision="qca-b", seconds=0.3, at="2026-11-21T12:30:00Z")
