"""What came out of a simulation, and the figures that tables show. Made by the engine; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One policy on one record."""

    policy: str
    calls: int
    waits_seconds: tuple[float, ...]
    """Of the calls that got a slot, ascending."""
    lost: int
    """Calls that never got a slot, or whose pod died."""
    gpu_seconds: float
    """Pods from creation to end, start and drain included."""
    busy_slot_seconds: float
    starts: int
    """Pods created after the record began."""
    wakes: int
    """Times that a call found no pod requested."""
    cold_calls: int
    """Calls that came while no pod was ready."""
    scalings: int
    flips: int
    """Scalings up that follow one down, and the other way round."""
    end_seconds: float
    requested_seconds: float = 0.0
    """Pods asked for, summed over the time."""

    def late_share(self, limit_seconds: float) -> float:
        """Share of all calls that waited longer than the limit or were lost, from 0 to 1."""
        if not self.calls:
            return 0.0
        late = sum(1 for wait in self.waits_seconds if wait > limit_seconds)
        return (late + self.lost) / self.calls

    def wait_seconds(self, share: float) -> float:
        """Quantile of the waits by nearest rank; 0 without any."""
        return nearest_rank(self.waits_seconds, share)

    @property
    def lost_share(self) -> float:
        """From 0 to 1."""
        return self.lost / self.calls if self.calls else 0.0


def nearest_rank(ascending: Sequence[float], share: float) -> float:
    """The value that `share` of the ascending values do not exceed; 0 of none."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A policy as cost and lateness, both better when smaller."""

    name: str
    gpu_seconds: float
    late_share: float

    def dominates(self, other: Point) -> bool:
        """At most the other's in both and below it in one."""
        return (
            self.gpu_seconds <= other.gpu_seconds
            and self.late_share <= other.late_share
            and (self.gpu_seconds < other.gpu_seconds or self.late_share < other.late_share)
        )


def front(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other one dominates, cheapest first; equal points stay both."""
    kept = [one for one in points if not any(other.dominates(one) for other in points)]
    return tuple(sorted(kept, key=lambda one: (one.gpu_seconds, one.late_share, one.name)))
