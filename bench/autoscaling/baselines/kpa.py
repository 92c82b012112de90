"""Knative's pod autoscaler (KPA) with its defaults, by concurrency.

Source: knative/serving, pkg/autoscaler/scaling/autoscaler.go and multiscaler.go, config/core/configmaps/autoscaler.yaml,
pkg/reconciler/autoscaling/kpa/scaler.go (2026-08). Target: containerConcurrency (the slots) * 70 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from atheria_operator.simulation.policy import Fleet, Sample
from bench.autoscaling.baselines.windows import TimeMean


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaMemory:
    """Panic mode."""

    panic_since_seconds: float | None = None
    """The last moment over the threshold; None = not in panic."""
    max_panic_pods: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaSpec:
    """Knative's names and defaults."""

    container_concurrency: float
    target_utilization: float = 0.7
    stable_window_seconds: float = 60.0
    panic_window_percentage: float = 10.0
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    grace_seconds: float = 30.0
    """scale-to-zero-grace-period: from inactive to the last pod's end."""

    @property
    def target(self) -> float:
        """Calls a pod."""
        return self.container_concurrency * self.target_utilization


def kpa_scale(
    *, spec: KpaSpec, memory: KpaMemory, stable: float, panic: float, ready: int, now_seconds: float
) -> tuple[KpaMemory, int]:
    """`Scale` of autoscaler.go: pods wanted from the two means of concurrency.

    r = max(1, ready); stable and panic pods = ceil(mean / target), within floor(r / down) and ceil(up * r); panic
    begins when ceil(panic mean / target) / r >= threshold, ends a stable window after the last such moment, and never
    lowers.
    """
    pods = max(1, ready)
    up, down = math.ceil(spec.max_scale_up_rate * pods), math.floor(pods / spec.max_scale_down_rate)
    raw_stable, raw_panic = math.ceil(stable / spec.target), math.ceil(panic / spec.target)
    wanted = min(max(raw_stable, down), up)
    in_panic = min(max(raw_panic, down), up)
    is_over = raw_panic / pods >= spec.panic_threshold
    since, highest = memory.panic_since_seconds, memory.max_panic_pods
    if is_over:
        if since is None:
            highest = 0
        since = now_seconds
    elif since is not None and now_seconds - since >= spec.stable_window_seconds:
        since, highest = None, 0
    if since is None:
        return KpaMemory(), wanted
    highest = max(highest, wanted, in_panic)
    return KpaMemory(panic_since_seconds=since, max_panic_pods=highest), highest


@dataclass(slots=True, kw_only=True)
class Kpa:
    """Ticks each 2 s; at zero the first call pokes it. To zero after an idle stable window and the grace period."""

    spec: KpaSpec
    name: str = "Knative KPA"
    first_replicas: int = 0
    tick_seconds: float = 2.0
    _stable: TimeMean = field(init=False)
    _panic: TimeMean = field(init=False)
    _memory: KpaMemory = field(default_factory=KpaMemory)
    _inactive_since: float | None = None
    _is_new: bool = True

    def __post_init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._stable = TimeMean(self.spec.stable_window_seconds)
        self._panic = TimeMean(self.spec.stable_window_seconds * self.spec.panic_window_percentage / 100)

    def see(self, sample: Sample) -> None:
        """Each second of the activators and pods."""
        for window in (self._stable, self._panic):
            window.add(sample.seconds, sample.mean_calls, sample.span_seconds)

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """One tick."""
        if self._is_new:
            self._is_new = False
            if fleet.ready > 1:
                # A restart with pods begins in panic, so that it never scales down at once.
                self._memory = KpaMemory(panic_since_seconds=now_seconds, max_panic_pods=fleet.ready)
        self._memory, wanted = kpa_scale(
            spec=self.spec,
            memory=self._memory,
            stable=self._stable.at(now_seconds),
            panic=self._panic.at(now_seconds),
            ready=fleet.ready,
            now_seconds=now_seconds,
        )
        if wanted > 0 or fleet.requested == 0:
            self._inactive_since = None
            return wanted
        if self._inactive_since is None:
            self._inactive_since = now_seconds
        return 0 if now_seconds - self._inactive_since >= self.spec.grace_seconds else 1

    def wake(self, fleet: Fleet, now_seconds: float) -> int:
        """Poke: the same decision at once; a call in the system wants at least one pod."""
        return max(1, self.decide(fleet, now_seconds))

    def restart(self) -> None:
        """Windows and panic are lost."""
        self._forget()
        self._memory = KpaMemory()
        self._inactive_since = None
        self._is_new = True
