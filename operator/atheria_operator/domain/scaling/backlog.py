"""Pods for calls that wait, with credit for pods that are on their way. Called by `decide`.

A pod that is asked for now helps only after a cold start. So it is asked for what will still wait then: the work that waits now,
plus what comes until then, less what the ready pods and those that are already starting will have done. A queue that built up
during a cold start is thus not taken for steady load, which is what makes autoscalers overshoot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_DRAIN_STARTS: Final = 1 / 3
"""What waits after a start is to be worked off in this part of another start: who waited long for pods need not be hurried much."""
_SHORTEST_DRAIN_SECONDS: Final = 1.0
ASSUMED_COLD_START_SECONDS: Final = 30.0
"""Until one is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Pods that work or will."""

    ready: int
    starting_ages_seconds: tuple[float, ...]
    """Those asked for that do not exist yet have age 0."""
    cold_start_seconds: float


def waiting_calls(held: int, in_flight: int, ready: int, target: float) -> float:
    """Calls that no ready pod has room for."""
    return held + max(0.0, in_flight - ready * target)


def waiting_after_start(
    waiting: float, load: float, service_seconds: float, fleet: Fleet, target: float
) -> float:
    """Calls that will still wait when a pod that is asked for now is ready."""
    horizon = fleet.cold_start_seconds
    helping = sum(min(horizon, age) for age in fleet.starting_ages_seconds)
    work = waiting * service_seconds + load * horizon - target * (fleet.ready * horizon + helping)
    return max(0.0, work) / service_seconds


def pods_for(waiting: float, service_seconds: float, fleet: Fleet, target: float) -> float:
    """Pods, not rounded, that work `waiting` calls off within a part of a start; a longer call takes a place of its own."""
    drain = max(_SHORTEST_DRAIN_SECONDS, _DRAIN_STARTS * fleet.cold_start_seconds)
    return waiting * min(1.0, service_seconds / drain) / target
