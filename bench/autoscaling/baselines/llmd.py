"""llm-d's law for latency objectives: KEDA's formula over the saturation, with credit for pods that are starting.

Source: llm-d/llm-d, docs/architecture/autoscaling/slo-aware-keda.md: s = mean over 45 s of min(max(P90 TTFT / SLO, P90 TPOT / SLO),
2); s > 0.55: n + ceil(n (s c / 0.55 - 1)) with c = ready / n while pods are starting; s < 0.40: n - floor(n (1 - s / 0.40)); else
n. P90 over 1 minute, sampled each 15 s, no traffic = 0. HPA: up max(100 %, 4 pods) each 60 s, 30 s window; down 1 pod each
120 s, 180 s window. Never to zero here: its wake from zero is a feature gate of another part.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from atheria_operator.simulation.outcome import nearest_rank
from atheria_operator.simulation.policy import Fleet, Sample
from bench.autoscaling.baselines.hpa import HpaBehavior, HpaLimits

UP: Final = 0.55
DOWN: Final = 0.40
CLAMP: Final = 2.0
_BEHAVIOR: Final = HpaBehavior(
    up_period_seconds=60.0,
    up_window_seconds=30.0,
    down_pods=1,
    down_period_seconds=120.0,
    down_window_seconds=180.0,
)
_QUANTILE_SECONDS: Final = 60.0
_SMOOTH_SECONDS: Final = 45.0


def llmd_replicas(*, saturation: float, provisioned: int, ready: int) -> int:
    """The formula of step 2; no credit when no pod or every pod is ready."""
    if saturation > UP:
        credit = ready / provisioned if 0 < ready < provisioned else 1.0
        return provisioned + math.ceil(provisioned * (saturation * credit / UP - 1))
    if saturation < DOWN:
        return provisioned - math.floor(provisioned * (1 - saturation / DOWN))
    return provisioned


@dataclass(slots=True, kw_only=True)
class LlmD:
    """Its recording rules each 15 s and the HPA behind them."""

    slo_seconds: float
    """Of the time to the first token."""
    min_replicas: int = 1
    name: str = "llm-d SLO law"
    first_replicas: int = 1
    tick_seconds: float = 15.0
    _firsts: deque[tuple[float, float]] = field(default_factory=deque)
    _saturations: deque[tuple[float, float]] = field(default_factory=deque)
    _limits: HpaLimits = field(default_factory=lambda: HpaLimits(_BEHAVIOR))

    def see(self, sample: Sample) -> None:
        """Histogram of the time to the first token, wait included."""
        self._firsts.extend((sample.seconds, seconds) for seconds in sample.first_token_seconds)

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """Record, smooth, ask, limit."""
        while self._firsts and self._firsts[0][0] < now_seconds - _QUANTILE_SECONDS:
            self._firsts.popleft()
        p90 = nearest_rank(sorted(seconds for _, seconds in self._firsts), 0.9)
        self._saturations.append((now_seconds, min(p90 / self.slo_seconds, CLAMP)))
        while self._saturations[0][0] <= now_seconds - _SMOOTH_SECONDS:
            self._saturations.popleft()
        saturation = sum(value for _, value in self._saturations) / len(self._saturations)
        wanted = max(
            self.min_replicas,
            llmd_replicas(saturation=saturation, provisioned=fleet.requested, ready=fleet.ready),
        )
        return self._limits.apply(wanted=wanted, current=fleet.requested, now_seconds=now_seconds)

    def wake(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """Nobody wakes it: it never sleeps."""
        return max(self.min_replicas, fleet.requested)

    def restart(self) -> None:
        """Series live in Prometheus and stay; the HPA's windows are lost."""
        self._limits = HpaLimits(_BEHAVIOR)
