"""The bounded queue of calls, in one bucket per batch key, oldest first within a bucket.

Pure bookkeeping used by the engine's event loop: never blocks, never looks at a clock. The bounds count rows and
bytes, so that neither many small nor a few huge calls can exhaust the pod's memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from atheria_server.core.request import QueuedCall


class QueueFullError(Exception):
    """The call does not fit; the message says which bound was met."""


@dataclass(slots=True, kw_only=True)
class BoundedQueue:
    """Waiting calls; `rows` and `size_bytes` never exceed the bounds."""

    max_rows: int
    max_bytes: int
    rows: int = 0
    size_bytes: int = 0
    _buckets: dict[Hashable, OrderedDict[int, QueuedCall]] = field(default_factory=dict)
    _bucket_of: dict[int, Hashable] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._bucket_of)

    def add(self, call: QueuedCall) -> None:
        """Append the call to its bucket. Raises QueueFullError, and ValueError for a call id already waiting."""
        if call.call_id in self._bucket_of:
            raise ValueError(f"call {call.call_id} is already waiting; give each call an id of its own")
        if self.rows + call.rows > self.max_rows:
            raise QueueFullError(
                f"the queue holds {self.rows} of {self.max_rows} rows and the call has {call.rows}; try again later"
            )
        if self._bucket_of and self.size_bytes + call.size_bytes > self.max_bytes:
            raise QueueFullError(
                f"the queue holds {self.size_bytes} of {self.max_bytes} bytes and the call has "
                f"{call.size_bytes}; try again later"
            )
        self._buckets.setdefault(call.bucket, OrderedDict())[call.call_id] = call
        self._bucket_of[call.call_id] = call.bucket
        self.rows += call.rows
        self.size_bytes += call.size_bytes

    def remove(self, call_id: int) -> QueuedCall | None:
        """Take the call out wherever it stands; None if it is not waiting (any more)."""
        if call_id not in self._bucket_of:
            return None
        bucket = self._bucket_of.pop(call_id)
        calls = self._buckets[bucket]
        call = calls.pop(call_id)
        if not calls:
            del self._buckets[bucket]
        self.rows -= call.rows
        self.size_bytes -= call.size_bytes
        return call

    def buckets(self) -> Iterator[tuple[Hashable, tuple[QueuedCall, ...]]]:
        """Each bucket with its calls, oldest first."""
        for bucket, calls in self._buckets.items():
            yield bucket, tuple(calls.values())
