"""Bounds of the engine: made by `app`, kept by `engine.engine`."""

from __future__ import annotations

from dataclasses import dataclass, field

from atheria_server.core.batching import BatchPolicy
from atheria_server.core.restarts import RestartPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Bounds of the queue and the batches."""

    batches: BatchPolicy
    max_queue_rows: int
    max_queue_bytes: int
    max_streams: int
    """Running in one worker at a time; further ones wait in the queue."""
    max_unread_streams: int | None = None
    """Of a worker: finished streams whose frames wait for their reader, that take no place; None = any number."""
    max_unread_bytes: int | None = None
    """Of all workers: of the frames that wait for their reader, beyond which the stream that is furthest behind ends; None = any number."""
    idempotent: bool = False
    """A call may be computed twice: batches of a worker that died are computed again, once, each call alone."""
    fall_seconds: float = 3.0
    """Between not ready and asleep: routers learn meanwhile that the server goes to sleep."""
    restarts: RestartPolicy = field(default_factory=RestartPolicy)
