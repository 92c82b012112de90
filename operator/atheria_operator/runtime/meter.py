"""Sums what a model's pods and calls were over time, for its cost, the time of its last call and the seconds that a call takes.

The autoscaling loop feeds it at every look, and it looks at every change; the reconcile loop shows the sums. Probes and scrapes go
to pods directly and never pass the gateways' counters, so they count for nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_operator.domain.cost import Load, Usage, observe, restored
from atheria_operator.domain.scaling.learnt import Measured
from atheria_operator.domain.scaling.learnt import restored as restored_service
from atheria_operator.domain.scaling.service_time import ServiceTime
from atheria_operator.runtime.ports import Clock


class Meter:
    """The sums of one model; after a start of the operator they go on from the status."""

    def __init__(self, clock: Clock, status: Mapping[str, Any]) -> None:
        """`status` is the stored status of the model."""
        self._clock = clock
        self._service = restored_service(status, clock.now())
        self.measured: Measured | None = None
        """Seconds of a call since the start of the operator; None = no call has ended yet."""
        self._usage = restored(status.get("cost") or {}, str(status.get("lastCallTime") or ""))

    @property
    def service(self) -> ServiceTime:
        """What was learnt of the calls until the last `learn`, or by the operator before."""
        return self._service

    def learn(self, service: ServiceTime, revision: str) -> None:
        """What a decision has learnt of the calls, which `revision` takes; without new ones the sums only fade."""
        if service.ended > self._service.ended and service.seconds is not None:
            self.measured = Measured(revision=revision, seconds=service.seconds, at=self._clock.now())
        self._service = service

    @property
    def usage(self) -> Usage:
        """The sums until the last look."""
        return self._usage

    def look(self, *, pods: int, ready: int, in_flight: int, calls_total: int) -> None:
        """What there is now."""
        self._usage = observe(
            self._usage,
            Load(pods=pods, ready=ready, in_flight=in_flight, calls_total=calls_total),
            now_seconds=self._clock.monotonic_seconds(),
            now=self._clock.now(),
        )
