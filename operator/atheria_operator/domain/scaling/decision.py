"""What a scaling decision says: a number of pods and why. Read by the scaling loop, shown in status, event and log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ScalingReason(StrEnum):
    """Why a number of pods was decided."""

    NO_REPORTS = "NoReports"
    INCOMPLETE_REPORTS = "IncompleteReports"
    DEMAND = "Demand"
    DELAYED = "ScaleDownDelayed"
    LOWER_DEMAND = "LowerDemand"
    STARTING = "Starting"
    WAITING_IDLE = "WaitingForIdleTimeout"
    IDLE = "Idle"
    NO_CAPACITY = "NoCapacity"
    EXTERNAL = "External"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A number of pods, with the words for status, event and log."""

    replicas: int
    is_fresh: bool
    """Made from complete, fresh reports; another one keeps what there is, within the bounds."""
    reason: ScalingReason
    message: str
    formula: str = ""
    """How the need was computed, with the numbers; empty = it was not."""
    bound: str = ""
    """What held the number where it is instead of at the need; empty = nothing."""
    inputs: Mapping[str, float] = field(default_factory=dict)
    """What was seen, by the names of status.lastDecisions[].inputs."""
