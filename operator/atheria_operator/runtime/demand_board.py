"""The last report of every gateway; the gRPC sink writes, the autoscaler reads."""

from __future__ import annotations

from collections.abc import Mapping

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.scaling.demand import FORGET_SECONDS, Calls, Demand, Report, demand_of
from atheria_operator.runtime.ports import Clock
from atheria_operator.runtime.wakeups import Wakeups


class DemandBoard:
    """DemandSource over pushed reports."""

    def __init__(self, clock: Clock, wakeups: Wakeups) -> None:
        self._clock = clock
        self._wakeups = wakeups
        self._reports: dict[str, Report] = {}

    def take(self, gateway: str, calls: Mapping[ModelKey, Calls]) -> None:
        """Replace the report of a gateway; models whose calls appeared or ended are woken."""
        now = self._clock.monotonic_seconds()
        before = self._reports.get(gateway)
        self._reports = {
            name: report
            for name, report in self._reports.items()
            if now - report.received_seconds <= FORGET_SECONDS
        }
        self._reports[gateway] = Report(gateway=gateway, received_seconds=now, calls=dict(calls))
        for key, line in calls.items():
            old = Calls() if before is None else before.calls.get(key, Calls())
            if (line.held, line.in_flight) != (old.held, old.in_flight):
                self._wakeups.wake(key)

    def demand(self, key: ModelKey) -> Demand | None:
        """Demand of a model now; None when nobody says anything."""
        return demand_of(key, self._reports.values(), self._clock.monotonic_seconds())
