"""What a run remembers of its calls and of its pods' processes; the verdict is given on these. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

KILLED: Final = "killed"
"""SIGKILL out of the blue."""
FORCED: Final = "deleted by force"
GRACE_ENDED: Final = "its grace period ended"
END_OF_RUN: Final = "the end of the run"


@dataclass(slots=True, kw_only=True)
class Call:
    """One call as its caller saw it."""

    id: int
    model: str
    is_stream: bool
    sent_seconds: float
    gateway: str = ""
    """Name of the one that it was sent to."""
    ended_seconds: float | None = None
    failure: str = ""
    """Empty for the right answer."""

    @property
    def is_answered(self) -> bool:
        """Whether it got the right answer."""
        return self.ended_seconds is not None and not self.failure


@dataclass(slots=True, kw_only=True)
class Life:
    """When a container ran and how it ended; `killed_by` is empty where it ended by itself or after SIGTERM."""

    container: str
    """`pod/restart`."""
    address: str
    model: str
    started_seconds: float
    ended_seconds: float | None = None
    killed_by: str = ""
    worker_kills_seconds: list[float] = field(default_factory=list)
    """When its worker alone was killed, while the rest of it ran on."""
