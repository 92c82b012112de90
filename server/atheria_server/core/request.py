"""One accepted call while it waits: what the queue and the batching decisions need to know, and nothing else.

Used by `core.queue`, `core.batching` and the engine; the tensors themselves stay with the engine, found by `call_id`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

PRIORITY_HIGHEST: Final = 1
PRIORITY_DEFAULT: Final = 5
PRIORITY_LOWEST: Final = 9


@dataclass(slots=True, kw_only=True)
class QueuedCall:
    """Metadata of a waiting call. Times are seconds of one monotonic clock.

    Nobody changes it; freezing would triple the price of making one for each call.
    """

    call_id: int
    bucket: Hashable
    """Calls of equal buckets may be computed together."""
    rows: int
    size_bytes: int
    arrived_at: float
    deadline_at: float | None = None
    """The caller no longer waits from then on; None = no deadline."""
    streaming: bool = False
    """Wants frames: never part of a batch, runs beside the batches in a slot of its own."""
    priority: int = PRIORITY_DEFAULT
    """1 goes before everything else, 9 after everything else."""
    caller: str = ""
    """Callers of one priority get equal shares of the rows."""


def wanted_until(calls: Sequence[QueuedCall]) -> float:
    """The latest deadline of a batch's calls, monotonic seconds; 0 if one of them has none."""
    deadlines = [call.deadline_at for call in calls if call.deadline_at is not None]
    return max(deadlines) if len(deadlines) == len(calls) else 0.0
