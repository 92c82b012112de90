"""KEDA: zero to one by a push scaler, one to N by the HPA that it makes, to zero after the cool-down.

Source: kedacore/keda, pkg/scaling/executor/scale_scaledobjects.go and pkg/scalers/externalscaler: 0 -> max(1, minReplicaCount) as
soon as IsActive is pushed; the HPA never goes below 1; cooldownPeriod 300 s counts from the last time that the scaler was
active, looked at each pollingInterval of 30 s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from atheria_operator.simulation.policy import Fleet, Sample
from bench.autoscaling.baselines.hpa import Hpa


def keda_may_sleep(
    *, last_active_seconds: float | None, now_seconds: float, cooldown_seconds: float = 300.0
) -> bool:
    """Whether an inactive object goes to zero; without a last active time the cool-down is skipped (a known trap)."""
    return last_active_seconds is None or now_seconds - last_active_seconds >= cooldown_seconds


@dataclass(slots=True, kw_only=True)
class Keda:
    """Both loops in one policy: ticks each 15 s as the HPA, and polls at every second tick."""

    target: float
    cooldown_seconds: float = 300.0
    name: str = "KEDA + HPA"
    first_replicas: int = 0
    tick_seconds: float = 15.0
    _hpa: Hpa = field(init=False)
    _calls: int = 0
    _last_active_seconds: float | None = 0.0
    _ticks: int = 0

    def __post_init__(self) -> None:
        self._hpa = Hpa(target=self.target)

    def see(self, sample: Sample) -> None:
        """IsActive is pushed with each sample, the metric kept for the HPA."""
        self._calls = sample.calls
        if self._calls > 0:
            self._last_active_seconds = sample.seconds
        self._hpa.see(sample)

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """The HPA's sync, and at every second one KEDA's poll."""
        if fleet.requested == 0:
            return 1 if self._calls > 0 else 0
        self._ticks += 1
        is_poll = self._ticks % 2 == 0
        if (
            is_poll
            and self._calls == 0
            and keda_may_sleep(
                last_active_seconds=self._last_active_seconds,
                now_seconds=now_seconds,
                cooldown_seconds=self.cooldown_seconds,
            )
        ):
            return 0
        return self._hpa.decide(fleet, now_seconds)

    def wake(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """StreamIsActive: at once, to one."""
        return max(1, fleet.requested)

    def restart(self) -> None:
        """lastActiveTime is in the object's status and stays; the HPA's windows are lost."""
        self._hpa.restart()
