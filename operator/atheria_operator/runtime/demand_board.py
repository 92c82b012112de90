"""The last report of every gateway; the gRPC sink writes, the autoscaler reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.scaling.demand import FORGET_SECONDS, Calls, Demand, Report, demand_of
from atheria_operator.runtime.ports import Clock
from atheria_operator.runtime.wakeups import Wakeups


class DemandBoard:
    """DemandSource over pushed reports."""

    def __init__(self, clock: Clock, wakeups: Wakeups) -> None:
        self._clock = clock
        self._wakeups = wakeups
        self._reports: dict[str, Report] = {}
        self._calls_total: dict[ModelKey, int] = {}
        self._revisions: dict[ModelKey, dict[str, CallFigures]] = {}

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
            if before is not None:
                # A count that fell is of a gateway that restarted. What a new one counted before is not known.
                since = (
                    line.arrivals_total - old.arrivals_total
                    if line.arrivals_total >= old.arrivals_total
                    else line.arrivals_total
                )
                self._calls_total[key] = self._calls_total.get(key, 0) + since
            # Nor is it known how much of that another operator has counted already.
            self._count_revisions(key, line.revisions, line.revisions if before is None else old.revisions)
            if (line.held, line.in_flight) != (old.held, old.in_flight):
                self._wakeups.wake(key)

    def demand(self, key: ModelKey) -> Demand | None:
        """Demand of a model now; None when nobody says anything."""
        said = demand_of(key, self._reports.values(), self._clock.monotonic_seconds())
        # Counted by gateway: one that comes late or restarts does not look like a burst.
        return None if said is None else replace(said, arrivals_total=self.calls_total(key))

    def calls_total(self, key: ModelKey) -> int:
        """Calls of a model that all gateways together have told of since this process started; never less than before."""
        return self._calls_total.get(key, 0)

    def revision_calls(self, key: ModelKey) -> Mapping[str, CallFigures]:
        """By name of the revision, of those that share a model's calls now; only what this process has heard them grow by."""
        return dict(self._revisions.get(key, {}))

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._calls_total.pop(key, None)
        self._revisions.pop(key, None)

    def _count_revisions(
        self, key: ModelKey, told: Mapping[str, CallFigures], before: Mapping[str, CallFigures]
    ) -> None:
        """Add what is new in a gateway's totals; it counts a revision from when the calls are shared."""
        if not told:
            return
        sums = self._revisions.setdefault(key, {})
        for name, total in told.items():
            new = total.since(before.get(name, CallFigures()))
            sums[name] = sums.get(name, CallFigures()).plus(new)
        for name in sums.keys() - told.keys():
            if not any(
                name in report.calls[key].revisions
                for report in self._reports.values()
                if key in report.calls
            ):
                del sums[name]
