"""When a model that has no pod will have one: learned from starts, so that a call that cannot wait so long is told at once.

The activator tells a StartLog what it sees; estimate_ready turns that and the model's status into seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from atheria_gateway.core.hold import Denial, Refusal
from atheria_gateway.core.model import Model, ModelKey

KEPT_STARTS: Final = 5
"""As many as the operator keeps in status.starts."""
CERTAIN: Final = 0.8
"""Starts vary: a call that can wait for this part of the expected time may still be in time, so it waits."""
ONE_WAKE_S: Final = 5.0
"""Patches of model and Deployment within so many seconds are one wake; a later one found the model at zero again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long it should still take until a pod answers."""

    seconds: float
    source: str
    """Where the number is from, for the caller's sentence."""


@dataclass(slots=True, kw_only=True)
class StartLog:
    """Starts that this gateway itself asked for: from its wake to a pod that Envoy knows. Times are monotonic seconds."""

    _begun: dict[ModelKey, float] = field(default_factory=dict)
    _taken: dict[ModelKey, deque[float]] = field(default_factory=dict)

    def woken(self, key: ModelKey, now_s: float) -> None:
        """A scale patch of ours took the model or its Deployment from 0."""
        begun_s = self._begun.get(key)
        if begun_s is None or now_s - begun_s > ONE_WAKE_S:
            self._begun[key] = now_s

    def ready(self, key: ModelKey, now_s: float) -> None:
        """The model has a pod: a start that was under way is over."""
        begun_s = self._begun.pop(key, None)
        if begun_s is not None:
            self._taken.setdefault(key, deque(maxlen=KEPT_STARTS)).append(now_s - begun_s)

    def under_way(self) -> tuple[ModelKey, ...]:
        """Models whose start began with a wake of ours."""
        return tuple(self._begun)

    def begun_s(self, key: ModelKey) -> float | None:
        """When the start under way began; None when we know of none."""
        return self._begun.get(key)

    def taken(self, key: ModelKey) -> tuple[float, ...]:
        """Seconds of the last starts, oldest first."""
        return tuple(self._taken.get(key, ()))

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._begun.pop(key, None)
        self._taken.pop(key, None)


def estimate_ready(model: Model, log: StartLog, *, now_s: float, now_unix_s: float) -> Estimate | None:
    """Seconds until the model should have a pod; None when nothing is known, or a start takes longer than it ever did.

    The operator's own expectation, by phases, comes first; then the median of the starts that this gateway saw, which
    count from its wake; then the median of those in the model's status, which count from the pod's creation.
    """
    if model.expected_ready_unix_s is not None:
        rest_s = model.expected_ready_unix_s - now_unix_s
        return Estimate(seconds=rest_s, source="the start under way") if rest_s > 0 else None
    taken = log.taken(model.key)
    known = taken or model.start_seconds
    if not known:
        return None
    begun_s = log.begun_s(model.key)
    rest_s = median(known) - (0.0 if begun_s is None else now_s - begun_s)
    if rest_s <= 0:
        return None
    word = "start" if len(known) == 1 else f"{len(known)} starts"
    return Estimate(seconds=rest_s, source=f"the last {word}")


def too_late(model: Model, estimate: Estimate | None, time_left_s: float | None) -> Denial | None:
    """The refusal of a call whose deadline comes before the model should be ready; None when it may wait."""
    if estimate is None or time_left_s is None or time_left_s >= CERTAIN * estimate.seconds:
        return None
    return Denial(
        refusal=Refusal.DEADLINE,
        message=(
            f"model {model.key} has no ready pod and should have one in {estimate.seconds:.1f} s (from {estimate.source}), "
            f"but the call's deadline is in {max(0.0, time_left_s):.1f} s: it is being started, so try again then, or "
            "set a longer deadline"
        ),
        retry_after_s=estimate.seconds,
    )
