"""What the handlers are given by the composition root."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.status.report import Parts
from atheria_operator.runtime.ports import (
    Clock,
    ClusterWriter,
    DemandSource,
    PodReports,
    Telemetry,
)
from atheria_operator.runtime.scaler import RING
from atheria_operator.runtime.wakeups import Wakeups

Decisions = deque[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Ports and settings that the loops need, and the wake flags that connect them with the events."""

    cluster: ClusterWriter
    demand: DemandSource
    pod_reports: PodReports
    clock: Clock
    telemetry: Telemetry
    defaults: ServerDefaults
    resync_seconds: float
    reconcile_wakeups: Wakeups
    scaling_wakeups: Wakeups
    decisions: dict[ModelKey, Decisions] = field(default_factory=dict)
    """The autoscaler's last changes by model, newest first: it adds, the status shows."""

    reports: dict[ModelKey, dict[str, Parts]] = field(default_factory=dict)
    """What pods told, by model and `pods.start_key`: the report loop writes, the status shows."""

    def wake(self, key: ModelKey) -> None:
        """Something of the model has changed."""
        self.reconcile_wakeups.wake(key)
        self.scaling_wakeups.wake(key)

    def decisions_of(self, key: ModelKey, status: Mapping[str, Any]) -> Decisions:
        """The model's ring; after a start of the operator it begins with what the status remembers."""
        if key not in self.decisions:
            self.decisions[key] = deque(status.get("lastDecisions") or (), maxlen=RING)
        return self.decisions[key]

    def reports_of(self, key: ModelKey) -> dict[str, Parts]:
        """What the model's pods told."""
        return self.reports.setdefault(key, {})
