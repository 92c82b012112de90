"""Sums what a model's pods and calls were over time, for its cost and the time of its last call.

The autoscaling loop feeds it at every look, and it looks at every change; the reconcile loop shows the sums. Probes and scrapes go
to pods directly and never pass the gateways' counters, so they count for nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_operator.domain.cost import Load, Usage, observe, restored
from atheria_operator.runtime.ports import Clock


class Meter:
    """The sums of one model; after a start of the operator they go on from the status."""

    def __init__(self, clock: Clock, status: Mapping[str, Any]) -> None:
        """`status` is the stored status of the model."""
        self._clock = clock
        self._usage = restored(status.get("cost") or {}, str(status.get("lastCallTime") or ""))

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
