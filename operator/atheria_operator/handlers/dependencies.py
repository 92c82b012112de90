"""What the handlers are given by the composition root."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.pods import Told
from atheria_operator.domain.status.report import Parts
from atheria_operator.domain.status.rest import Rest
from atheria_operator.runtime.heartbeat import Heartbeat
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.offers import Offers
from atheria_operator.runtime.ports import (
    Clock,
    ClusterWriter,
    DemandSource,
    PodCertificates,
    PodEvents,
    PodReports,
    StandbyOrders,
    Telemetry,
)
from atheria_operator.runtime.release import Models
from atheria_operator.runtime.scaler import RING
from atheria_operator.runtime.sight import Sight
from atheria_operator.runtime.upgrade_wave import UpgradeWave
from atheria_operator.runtime.wakeups import Wakeups

Decisions = deque[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Ports and settings that the loops need, and the wake flags that connect them with the events."""

    cluster: ClusterWriter
    models: Models
    demand: DemandSource
    pod_reports: PodReports
    pod_events: PodEvents
    clock: Clock
    telemetry: Telemetry
    defaults: ServerDefaults
    resync_seconds: float
    heartbeat: Heartbeat
    sight: Sight
    reconcile_wakeups: Wakeups
    scaling_wakeups: Wakeups
    regained: Wakeups = field(default_factory=Wakeups)
    """All loops begin anew when this operator may write again: what they were refused meanwhile is not theirs to wait for."""
    upgrades: UpgradeWave
    decisions: dict[ModelKey, Decisions] = field(default_factory=dict)
    """The autoscaler's last changes by model, newest first: it adds, the status shows."""

    reports: dict[ModelKey, dict[str, Parts]] = field(default_factory=dict)
    """What pods told, by model and `pods.start_key`: the report loop writes, the status shows."""

    told: dict[ModelKey, dict[str, Told]] = field(default_factory=dict)
    """What is known of starting pods, by model and `pods.start_key`: the report loop writes, the status shows."""
    rests: dict[ModelKey, dict[str, Rest]] = field(default_factory=dict)
    """What is known of sleeping pods, by model and `pods.start_key`: the scaling and the report loop write, the status shows."""
    standby: StandbyOrders | None = None
    """None = no pod is put to sleep."""
    certificates: PodCertificates | None = None
    """Of models' pods; None = calls to them are plain text."""
    starting: set[ModelKey] = field(default_factory=set)
    """Models whose starting pods are asked now; their number sets how often each is."""
    meters: dict[ModelKey, Meter] = field(default_factory=dict)
    """Sums of pods and calls by model: the autoscaler feeds them, the status shows them."""

    offers: Offers = field(default_factory=Offers)
    """What other autoscalers are told: the autoscaler writes, their adapters read."""
    scaler_address: str = ""
    """host:port at which KEDA reaches the operator; empty = it does not."""

    gone: Callable[[], frozenset[str]] = frozenset
    """Uids of objects that the indexes still have and that no longer exist."""
    leaving: Callable[[], frozenset[str]] = frozenset
    """Uids of models that are being deleted, also where kopf was not told."""
    indexes: dict[str, Any] = field(default_factory=dict)
    """Kopf's own, from its start on."""

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

    def told_of(self, key: ModelKey) -> dict[str, Told]:
        """What is known of the model's starting pods."""
        return self.told.setdefault(key, {})

    def rests_of(self, key: ModelKey) -> dict[str, Rest]:
        """What is known of the model's sleeping pods."""
        return self.rests.setdefault(key, {})

    def meter_of(self, key: ModelKey, status: Mapping[str, Any]) -> Meter:
        """The model's sums; after a start of the operator they go on from the status."""
        if key not in self.meters:
            self.meters[key] = Meter(self.clock, status)
        return self.meters[key]

    def forget(self, key: ModelKey) -> None:
        """The model is gone, or no longer this process's."""
        for kept in (self.decisions, self.reports, self.told, self.rests, self.meters):
            kept.pop(key, None)
        self.starting.discard(key)
        if self.certificates is not None:
            self.certificates.forget(key)
        self.upgrades.forget(key)
        self.offers.put(key, None)
        self.demand.forget(key)
