"""AIBrix' application-specific pod autoscaler (APA).

Source: vllm-project/aibrix, pkg/controller/podautoscaler/algorithm/apa.go and context/context.go: use a pod over target above 1.1:
min(ceil(n * use / target), ceil(2 n)); below 0.9: max(ceil(n * use / target), floor(n / 2)); cool-down 0 s up, 300 s down; no zero
by default. The controller's loop runs each 10 s on the mean of the metric over 60 s (metrics/client.go).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from atheria_operator.simulation.policy import Fleet, Sample
from bench.autoscaling.baselines.windows import TimeMean


def apa_replicas(
    *,
    current: int,
    use_per_pod: float,
    target: float,
    up_tolerance: float = 0.1,
    down_tolerance: float = 0.1,
    max_up_rate: float = 2.0,
    max_down_rate: float = 2.0,
) -> int:
    """`computeTargetReplicas` of apa.go."""
    ratio = use_per_pod / target
    if ratio > 1 + up_tolerance:
        return min(math.ceil(current * ratio), math.ceil(max_up_rate * current))
    if ratio < 1 - down_tolerance:
        return max(math.ceil(current * ratio), math.floor(current / max_down_rate))
    return current


@dataclass(slots=True, kw_only=True)
class Apa:
    """One to N by the mean of calls over 60 s, divided by all its pods (its own division differs between versions; this one is kind to it)."""

    target: float
    min_replicas: int = 1
    down_cooldown_seconds: float = 300.0
    name: str = "AIBrix APA"
    first_replicas: int = 1
    tick_seconds: float = 10.0
    _calls: TimeMean = field(default_factory=lambda: TimeMean(60.0))
    _scaled_seconds: float = field(default=-math.inf)

    def see(self, sample: Sample) -> None:
        """One more part of the mean."""
        self._calls.add(sample.seconds, sample.mean_calls, sample.span_seconds)

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """One round."""
        current = fleet.requested
        use = self._calls.at(now_seconds) / max(1, current)
        wanted = max(self.min_replicas, apa_replicas(current=current, use_per_pod=use, target=self.target))
        if wanted == current:
            return current
        if wanted < current and now_seconds - self._scaled_seconds < self.down_cooldown_seconds:
            return current
        self._scaled_seconds = now_seconds
        return wanted

    def wake(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """Nobody wakes it: it never sleeps."""
        return max(self.min_replicas, fleet.requested)

    def restart(self) -> None:
        """The time of the last scaling is lost."""
        self._scaled_seconds = -math.inf
