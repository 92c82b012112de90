"""What a scaling decision remembers for the next one. Kept by the scaling loop, in memory only."""

from __future__ import annotations

from dataclasses import dataclass, field

from atheria_operator.domain.scaling.hold import Peak
from atheria_operator.domain.scaling.service_time import ServiceTime
from atheria_operator.domain.scaling.windows import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingState:
    """What has to be remembered between two decisions; all of it may be lost without harm."""

    decided: int | None = None
    """The last decision; a higher current number means that somebody else raised it."""
    seen_seconds: float | None = None
    """When the last decision was made."""
    idle_since_seconds: float | None = None
    starting_since_seconds: float | None = None
    """Since when pods are asked for and none is ready."""
    arrivals_total: int | None = None
    """As the gateways said at the last decision."""
    marks: tuple[Mark, ...] = ()
    """Sums at some moments of the stable window, oldest first."""
    service: ServiceTime = field(default_factory=ServiceTime)
    steady_peaks: tuple[Peak, ...] = ()
    """Pods that the load needed lately."""
    needed_peaks: tuple[Peak, ...] = ()
    """Pods that load and backlog needed lately."""
    panic_until_seconds: float | None = None
