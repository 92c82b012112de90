"""Which waiting calls go to a worker now, which are dropped, and when to look again.

`decide` is pure: the engine calls it on every arrival, every finished batch and every wake-up, and carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atheria_server.core.queue import BoundedQueue
from atheria_server.core.request import QueuedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """Bounds of one batch."""

    max_batch_size: int
    """Rows; a single call with more rows is computed alone."""
    max_latency_seconds: float
    """While no worker is idle, a batch that is not full may wait this long before it is sent ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What the workers can take at this moment."""

    idle_workers: int
    """Batches that would start at once."""
    ahead_slots: int
    """Batches that may be sent ahead to workers that are still busy."""
    stream_slots: int
    """Streams that may start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do; the lists are disjoint and every call in them is waiting."""

    batches: tuple[tuple[QueuedCall, ...], ...] = ()
    """Dispatch these, in this order; calls of one batch have equal buckets."""
    streams: tuple[QueuedCall, ...] = ()
    """Start these."""
    expired: tuple[QueuedCall, ...] = ()
    """Their deadline has passed: answer DEADLINE_EXCEEDED and never compute them."""
    wake_at: float | None = None
    """Decide again at this time even if nothing happens; None = only on events."""


def decide(queue: BoundedQueue, policy: BatchPolicy, now: float, capacity: Capacity) -> Decision:
    """Look at the queue at `now`; the queue is not changed.

    While a worker is idle the oldest call's bucket goes first, full or not. The slots ahead are only for batches that
    are full or have waited `max_latency_seconds`. Streams start in the order of arrival.
    """
    expired: list[QueuedCall] = []
    streams: list[QueuedCall] = []
    buckets: list[list[QueuedCall]] = []
    for _, calls in queue.buckets():
        alive = [call for call in calls if not call.expired(now)]
        expired += [call for call in calls if call.expired(now)]
        streams += [call for call in alive if call.streaming]
        if calls_to_batch := [call for call in alive if not call.streaming]:
            buckets.append(calls_to_batch)
    streams.sort(key=_age)
    starting, streams_left = streams[: capacity.stream_slots], streams[capacity.stream_slots :]
    batches = _take_batches(buckets, policy, now, capacity)
    left = [call for calls in buckets for call in calls] + streams_left
    times = [call.deadline_at for call in left if call.deadline_at is not None]
    if capacity.ahead_slots > len(batches) - capacity.idle_workers:
        times += [calls[0].arrived_at + policy.max_latency_seconds for calls in buckets if calls]
    return Decision(
        batches=tuple(batches),
        streams=tuple(starting),
        expired=tuple(expired),
        wake_at=min(times, default=None),
    )


def _take_batches(
    buckets: Sequence[list[QueuedCall]], policy: BatchPolicy, now: float, capacity: Capacity
) -> list[tuple[QueuedCall, ...]]:
    """Remove the batches to send from the buckets and give them in order."""
    batches: list[tuple[QueuedCall, ...]] = []
    while len(batches) < capacity.idle_workers + capacity.ahead_slots:
        ready = [calls for calls in buckets if calls]
        if len(batches) >= capacity.idle_workers:
            ready = [calls for calls in ready if _is_due(calls, policy, now)]
        if not ready:
            break
        oldest = min(ready, key=lambda calls: _age(calls[0]))
        batch = _head(oldest, policy.max_batch_size)
        del oldest[: len(batch)]
        batches.append(batch)
    return batches


def _age(call: QueuedCall) -> tuple[float, int]:
    return (call.arrived_at, call.call_id)


def _is_due(calls: Sequence[QueuedCall], policy: BatchPolicy, now: float) -> bool:
    full = sum(call.rows for call in calls) >= policy.max_batch_size
    return full or now >= calls[0].arrived_at + policy.max_latency_seconds


def _head(calls: Sequence[QueuedCall], max_rows: int) -> tuple[QueuedCall, ...]:
    rows = 0
    for count, call in enumerate(calls):
        rows += call.rows
        if count > 0 and rows > max_rows:
            return tuple(calls[:count])
    return tuple(calls)
