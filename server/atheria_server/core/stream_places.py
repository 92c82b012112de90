"""How many more streams may start. PURE; kept by `engine.engine`.

A stream has a place in its worker until all its frames are made. Those of continuous models are made whether or not their
reader takes them, so a finished one gives its place to the next, and its frames wait in the front: for as many streams as
there are places, beyond which each takes a place again. `core.unread_frames` bounds their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class StreamPlaces:
    """Of all workers."""

    per_worker: int
    unread_per_worker: int | None = None
    """Streams whose frames are made and not read, that take no place; None = any number."""
    open_streams: int = 0
    """Begun, and their reader has neither taken the end nor left."""

    def free(self, in_flight: Sequence[int]) -> int:
        """Streams that may start now; `in_flight` = those that each worker which takes calls has not finished."""
        free = sum(max(0, self.per_worker - count) for count in in_flight)
        if self.unread_per_worker is None:
            return free
        unread = self.open_streams - sum(in_flight)
        return max(0, free - max(0, unread - self.unread_per_worker * len(in_flight)))
