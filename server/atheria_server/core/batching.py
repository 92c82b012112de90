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
class Decision:
    """What to do; both lists are disjoint and every call in them is waiting."""

    batches: tuple[tuple[QueuedCall, ...], ...] = ()
    """Dispatch these, in this order; calls of one batch have equal buckets."""
    expired: tuple[QueuedCall, ...] = ()
    """Their deadline has passed: answer DEADLINE_EXCEEDED and never compute them."""
    wake_at: float | None = None
    """Decide again at this time even if nothing happens; None = only on events."""


def decide(queue: BoundedQueue, policy: BatchPolicy, now: float, idle_workers: int, ahead_slots: int) -> Decision:
    """Look at the queue at `now`.

    `idle_workers` batches may start at once: the oldest call's bucket goes first, full or not. `ahead_slots` more may
    be sent to workers that are still busy: only batches that are full or have waited `max_latency_seconds`.
    The queue is not changed.
    """
    expired = tuple(call for _, calls in queue.buckets() for call in calls if call.expired(now))
    waiting = {b: [c for c in calls if not c.expired(now)] for b, calls in queue.buckets()}
    batches: list[tuple[QueuedCall, ...]] = []
    while idle_workers + ahead_slots > 0:
        ready = [calls for calls in waiting.values() if calls]
        if idle_workers <= 0:
            ready = [calls for calls in ready if _is_due(calls, policy, now)]
        if not ready:
            break
        oldest = min(ready, key=lambda calls: (calls[0].arrived_at, calls[0].call_id))
        batch = _head(oldest, policy.max_batch_size)
        del oldest[: len(batch)]
        batches.append(batch)
        if idle_workers > 0:
            idle_workers -= 1
        else:
            ahead_slots -= 1
    left = [call for calls in waiting.values() for call in calls]
    times = [call.deadline_at for call in left if call.deadline_at is not None]
    if ahead_slots > 0:
        times += [calls[0].arrived_at + policy.max_latency_seconds for calls in waiting.values() if calls]
    return Decision(batches=tuple(batches), expired=expired, wake_at=min(times, default=None))


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
