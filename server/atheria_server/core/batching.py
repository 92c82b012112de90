"""Which waiting calls go to a worker now, which are dropped, and when to look again.

`decide` is pure: the engine calls it on every arrival, every finished batch and every wake-up, and carries it out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from atheria_server.core.queue import BoundedQueue, Head
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
    rows_that_fit: Mapping[Hashable, int] = field(default_factory=dict)
    """By bucket, where the device's memory was found to hold fewer than the policy's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do; no call is in it twice."""

    batches: tuple[tuple[QueuedCall, ...], ...] = ()
    """Dispatch these, in this order; calls of one batch have equal buckets."""
    streams: tuple[QueuedCall, ...] = ()
    """Start these."""
    expired: tuple[QueuedCall, ...] = ()
    """Their deadline has passed: answer DEADLINE_EXCEEDED and never compute them."""
    wake_at: float | None = None
    """Decide again at this time even if nothing happens; None = only on events."""


def decide(queue: BoundedQueue, policy: BatchPolicy, now: float, capacity: Capacity) -> Decision:
    """Look at the queue at `now`; the calls of the decision are taken out of it.

    While a worker is idle the bucket with the first call goes, full or not. The slots ahead are only for batches that
    are full or have waited `max_latency_seconds`. Takes time in proportion to the buckets, not to the calls.
    """
    expired = queue.take_expired(now)
    streams = queue.take_streams(capacity.stream_slots)
    batches: list[tuple[QueuedCall, ...]] = []
    waiting: list[Head] = []
    while len(batches) < capacity.idle_workers + capacity.ahead_slots:
        ready = waiting = list(queue.heads())
        if len(batches) >= capacity.idle_workers:
            ready = [head for head in waiting if _is_due(head, policy, now, capacity)]
        if not ready:
            break
        first = min(ready, key=lambda head: head.rank)
        batches.append(queue.take_batch(first.bucket, _max_rows(first.bucket, policy, capacity)))
        waiting = []
    times = [head.oldest_at + policy.max_latency_seconds for head in waiting]
    if (deadline := queue.next_deadline) is not None:
        times.append(deadline)
    return Decision(
        batches=tuple(batches), streams=streams, expired=expired, wake_at=min(times, default=None)
    )


def _is_due(head: Head, policy: BatchPolicy, now: float, capacity: Capacity) -> bool:
    full = head.rows >= _max_rows(head.bucket, policy, capacity)
    return full or now >= head.oldest_at + policy.max_latency_seconds


def _max_rows(bucket: Hashable, policy: BatchPolicy, capacity: Capacity) -> int:
    return min(policy.max_batch_size, capacity.rows_that_fit.get(bucket, policy.max_batch_size))
