"""The bounded queue of calls: one bucket per batch key, and within a bucket an order that is fair between callers.

Pure bookkeeping used by the engine's event loop: never blocks, never looks at a clock. The bounds count rows and
bytes, so that neither many small nor a few huge calls can exhaust the pod's memory.

The order is by priority and then by start-time fair queueing (Goyal, Vin, Cheng 1996): each call gets a start tag, the
later of the queue's virtual time and the end of its caller's previous call, counted in rows. One caller alone is
served in the order of arrival; of several, nobody waits for more than one call of each other caller per own call.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final

from atheria_server.core.request import QueuedCall

Rank = tuple[int, float, int]
"""Priority, start tag, call id: the smallest goes first."""
_STREAMS: Final = object()
_SPARE: Final = 64


class QueueFullError(Exception):
    """The call does not fit; the message says which bound was met."""


@dataclass(slots=True)
class _Bucket:
    calls: OrderedDict[int, QueuedCall] = field(default_factory=OrderedDict)
    """Oldest first."""
    order: list[tuple[Rank, QueuedCall]] = field(default_factory=list)
    """A heap; calls that were removed are skipped."""
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a batching decision must know of a bucket."""

    bucket: Hashable
    rank: Rank
    """Of its first call."""
    rows: int
    """Waiting in it."""
    oldest_at: float
    """Arrival of its oldest call."""


@dataclass(slots=True, kw_only=True)
class BoundedQueue:
    """Waiting calls; `rows` and `size_bytes` exceed the bounds only by calls that were put back."""

    max_rows: int
    max_bytes: int
    rows: int = 0
    size_bytes: int = 0
    _buckets: dict[Hashable, _Bucket] = field(default_factory=dict)
    _bucket_of: dict[int, Hashable] = field(default_factory=dict)
    _deadlines: list[tuple[float, int]] = field(default_factory=list)
    """A heap; entries of calls that left are skipped."""
    _virtual_time: float = 0.0
    _ends: dict[str, float] = field(default_factory=dict)
    """Virtual end of each caller's last call."""

    def __len__(self) -> int:
        return len(self._bucket_of)

    @property
    def is_full(self) -> bool:
        """No call fits, however small."""
        return self.rows >= self.max_rows

    def add(self, call: QueuedCall) -> None:
        """Append the call to its bucket. Raises QueueFullError, and ValueError for a call id already waiting."""
        self._check_new(call)
        if self.rows + call.rows > self.max_rows:
            raise QueueFullError(
                f"the queue holds {self.rows} of {self.max_rows} rows and the call has {call.rows}; try again later"
            )
        if self._bucket_of and self.size_bytes + call.size_bytes > self.max_bytes:
            raise QueueFullError(
                f"the queue holds {self.size_bytes} of {self.max_bytes} bytes and the call has "
                f"{call.size_bytes}; try again later"
            )
        self.put_back(call)

    def put_back(self, call: QueuedCall) -> None:
        """Add a call that was accepted before, whatever the bounds. Raises ValueError for one already waiting."""
        self._check_new(call)
        key = _key(call)
        start = max(self._virtual_time, self._ends.get(call.caller, 0.0))
        self._ends[call.caller] = start + call.rows
        bucket = self._buckets.setdefault(key, _Bucket())
        bucket.calls[call.call_id] = call
        heapq.heappush(bucket.order, ((call.priority, start, call.call_id), call))
        bucket.rows += call.rows
        self._bucket_of[call.call_id] = key
        self._forget_the_gone(bucket)
        if call.deadline_at is not None:
            heapq.heappush(self._deadlines, (call.deadline_at, call.call_id))
        self.rows += call.rows
        self.size_bytes += call.size_bytes

    def remove(self, call_id: int) -> QueuedCall | None:
        """Take the call out wherever it stands; None if it is not waiting (any more)."""
        key = self._bucket_of.pop(call_id, None)
        if key is None:
            return None
        bucket = self._buckets[key]
        call = bucket.calls.pop(call_id)
        bucket.rows -= call.rows
        self.rows -= call.rows
        self.size_bytes -= call.size_bytes
        if not bucket.calls:
            del self._buckets[key]
        if not self._bucket_of:
            self._virtual_time = 0.0
            self._ends.clear()
            self._deadlines.clear()
        return call

    def heads(self) -> Iterator[Head]:
        """Each bucket of calls that may be batched."""
        for key, bucket in self._buckets.items():
            if key is not _STREAMS:
                yield Head(
                    bucket=key,
                    rank=_first(bucket)[0],
                    rows=bucket.rows,
                    oldest_at=next(iter(bucket.calls.values())).arrived_at,
                )

    def take_batch(self, bucket: Hashable, max_rows: int) -> tuple[QueuedCall, ...]:
        """Remove the bucket's first calls, together at most `max_rows` rows, or one call that has more."""
        found = self._buckets[bucket]
        taken: list[QueuedCall] = []
        rows = 0
        while found.calls:
            call = _first(found)[1]
            rows += call.rows
            if taken and rows > max_rows:
                break
            taken.append(self._take_first(found))
        return tuple(taken)

    def take_streams(self, count: int) -> tuple[QueuedCall, ...]:
        """Remove the first `count` streams."""
        taken: list[QueuedCall] = []
        while len(taken) < count and (found := self._buckets.get(_STREAMS)):
            taken.append(self._take_first(found))
        return tuple(taken)

    def take_expired(self, now: float) -> tuple[QueuedCall, ...]:
        """Remove the calls whose deadline has passed."""
        expired: list[QueuedCall] = []
        while (deadline := self.next_deadline) is not None and deadline <= now:
            call = self.remove(self._deadlines[0][1])
            if call is not None:
                expired.append(call)
        return tuple(expired)

    @property
    def next_deadline(self) -> float | None:
        """The earliest of a waiting call."""
        while self._deadlines and self._deadlines[0][1] not in self._bucket_of:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _check_new(self, call: QueuedCall) -> None:
        if call.call_id in self._bucket_of:
            raise ValueError(f"call {call.call_id} is already waiting; give each call an id of its own")

    def _forget_the_gone(self, bucket: _Bucket) -> None:
        """Calls that left from the middle stay in the heaps for a while; keep that in proportion."""
        if len(bucket.order) > _SPARE + 2 * len(bucket.calls):
            bucket.order = [entry for entry in bucket.order if entry[1].call_id in bucket.calls]
            heapq.heapify(bucket.order)
        if len(self._deadlines) > _SPARE + 2 * len(self._bucket_of):
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._bucket_of]
            heapq.heapify(self._deadlines)
        if len(self._ends) > _SPARE + 2 * len(self._bucket_of):
            self._ends = {name: end for name, end in self._ends.items() if end > self._virtual_time}

    def _take_first(self, bucket: _Bucket) -> QueuedCall:
        (_, start, _), call = _first(bucket)
        heapq.heappop(bucket.order)
        self._virtual_time = max(self._virtual_time, start)
        self.remove(call.call_id)
        return call


def _key(call: QueuedCall) -> Hashable:
    return _STREAMS if call.streaming else call.bucket


def _first(bucket: _Bucket) -> tuple[Rank, QueuedCall]:
    """The bucket has calls."""
    while bucket.order[0][1].call_id not in bucket.calls:
        heapq.heappop(bucket.order)
    return bucket.order[0]
