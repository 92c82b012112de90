"""Kubernetes' HorizontalPodAutoscaler (autoscaling/v2) with its defaults, on calls a pod as an AverageValue.

Source: kubernetes/kubernetes, pkg/controller/podautoscaler/replica_calculator.go and horizontal.go; the defaults of
spec.behavior in the API documentation: up by the larger of 100 % and 4 pods each 15 s with no stabilisation, down by 100 % each
15 s with 300 s of it, tolerance 0.1, sync 15 s.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from atheria_operator.simulation.policy import Fleet, Sample
from bench.autoscaling.baselines.windows import Extreme


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaBehavior:
    """spec.behavior with the API's defaults."""

    up_percent: float = 100.0
    up_pods: int = 4
    up_period_seconds: float = 15.0
    up_window_seconds: float = 0.0
    down_percent: float = 100.0
    down_pods: int | None = None
    """None = no such policy."""
    down_period_seconds: float = 15.0
    down_window_seconds: float = 300.0


def hpa_replicas(*, total: float, target: float, current: int, tolerance: float = 0.1) -> int:
    """AverageValue: ceil(total / target), unless total / (target * current) is within the tolerance of 1."""
    if current > 0 and abs(1.0 - total / (target * current)) <= tolerance:
        return current
    return math.ceil(total / target)


class HpaLimits:
    """Stabilisation windows and rates of one HPA."""

    def __init__(self, behavior: HpaBehavior) -> None:
        self._behavior = behavior
        self._lows = Extreme(behavior.up_window_seconds)
        self._highs = Extreme(behavior.down_window_seconds)
        self._changes: deque[tuple[float, int]] = deque()

    def apply(self, *, wanted: int, current: int, now_seconds: float) -> int:
        """`wanted` as far as windows and rates let it go from `current`.

        Up: not above the lowest wish of the up window; at most max(current_at_period_start * (1 + percent), + pods).
        Down: not below the highest wish of the down window; at least what the rate leaves.
        """
        behavior = self._behavior
        self._lows.add(now_seconds, wanted)
        self._highs.add(now_seconds, wanted)
        if wanted > current:
            replicas = max(current, self._lows.lowest())
            start = current - self._since(now_seconds - behavior.up_period_seconds, sign=1)
            limit = max(math.ceil(start * (1 + behavior.up_percent / 100)), start + behavior.up_pods)
            replicas = min(replicas, max(limit, current))
        else:
            replicas = min(current, self._highs.highest())
            start = current - self._since(now_seconds - behavior.down_period_seconds, sign=-1)
            floor = int(start * (1 - behavior.down_percent / 100))
            if behavior.down_pods is not None:
                # One policy is meant then: pods, not percent.
                floor = start - behavior.down_pods
            replicas = max(replicas, min(floor, current))
        if replicas != current:
            self._changes.append((now_seconds, replicas - current))
        return replicas

    def _since(self, seconds: float, *, sign: int) -> int:
        longest = max(self._behavior.up_period_seconds, self._behavior.down_period_seconds)
        while self._changes and self._changes[0][0] < seconds - longest:
            self._changes.popleft()
        return sum(change for at, change in self._changes if at > seconds and change * sign > 0)


@dataclass(slots=True, kw_only=True)
class Hpa:
    """Sync each 15 s on the calls in the system; never to zero."""

    target: float
    behavior: HpaBehavior = field(default_factory=HpaBehavior)
    min_replicas: int = 1
    name: str = "HPA"
    first_replicas: int = 1
    tick_seconds: float = 15.0
    _calls: int = 0
    _limits: HpaLimits = field(init=False)

    def __post_init__(self) -> None:
        self._limits = HpaLimits(self.behavior)

    def see(self, sample: Sample) -> None:
        """The metric is the newest number."""
        self._calls = sample.calls

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """One sync; at zero replicas an HPA is switched off."""
        if fleet.requested == 0:
            return 0
        wanted = hpa_replicas(total=self._calls, target=self.target, current=fleet.requested)
        wanted = max(self.min_replicas, wanted)
        return self._limits.apply(wanted=wanted, current=fleet.requested, now_seconds=now_seconds)

    def wake(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """Nobody wakes it: it never sleeps."""
        return max(self.min_replicas, fleet.requested)

    def restart(self) -> None:
        """The windows are lost, as with a restarted controller manager."""
        self._limits = HpaLimits(self.behavior)
