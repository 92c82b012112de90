"""Counts and cumulated times since the start of the process, as ModelStatistics reports them; pure bookkeeping.

Filled by `metrics` from the events of the engine and the service, read by `transport.model_info`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Cumulated(Protocol):
    """How often something happened, and how long it took in all."""

    @property
    def count(self) -> int:
        """How often."""

    @property
    def nanoseconds(self) -> int:
        """How long."""


@dataclass(slots=True, kw_only=True)
class Total:
    """Counts by itself."""

    count: int = 0
    nanoseconds: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """`count` more, each of `seconds`."""
        self.count += count
        self.nanoseconds += round(seconds * 1e9) * count


@dataclass(slots=True, kw_only=True)
class Statistics:
    """Of one model in one server."""

    success: Total = field(default_factory=Total)
    """Calls (a stream is one) with their whole time in the server."""
    fail: Total = field(default_factory=Total)
    """Calls with any other end: refused, expired, cancelled, failed."""
    queue: Cumulated = field(default_factory=Total)
    """Calls that left the queue for a worker."""
    compute_input: Cumulated = field(default_factory=Total)
    """Requests that were decoded."""
    compute_infer: Total = field(default_factory=Total)
    """Calls that were computed, each with the time of its whole batch."""
    compute_output: Cumulated = field(default_factory=Total)
    """Answers and frames that were encoded."""
    batches: dict[int, Total] = field(default_factory=dict)
    """Computed batches by rows."""
    inference_count: int = 0
    """Rows computed."""
    execution_count: int = 0
    """Batches computed."""
    last_inference_at: float = 0.0
    """Seconds since the epoch of the newest computed batch; 0 = none yet."""

    def call_ended(self, *, ok: bool, seconds: float) -> None:
        """A call was answered."""
        (self.success if ok else self.fail).add(seconds)

    def computed(self, *, rows: int, calls: int, seconds: float, at: float) -> None:
        """A batch of `calls` calls with `rows` rows came back at the time `at` (seconds since the epoch)."""
        self.compute_infer.add(seconds, calls)
        self.batches.setdefault(rows, Total()).add(seconds)
        self.inference_count += rows
        self.execution_count += 1
        self.last_inference_at = at
