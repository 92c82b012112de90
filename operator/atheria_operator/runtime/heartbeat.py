"""Notices a loop that hangs: each round says when it begins and ends, and the liveness probe asks whether one takes too long.

A blocked event loop answers no probe at all; this finds the other kind, a round that waits for something that never comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.ports import Clock


class Heartbeat:
    """The rounds that are under way, of all loops of all models."""

    def __init__(self, clock: Clock, *, stuck_seconds: float) -> None:
        """A round is bounded by the timeouts of its requests; `stuck_seconds` is far above that."""
        self._clock = clock
        self._stuck_seconds = stuck_seconds
        self._began: dict[tuple[str, ModelKey], float] = {}

    @contextmanager
    def round(self, loop: str, key: ModelKey) -> Iterator[None]:
        """One round of a loop of a model."""
        self._began[loop, key] = self._clock.monotonic_seconds()
        try:
            yield
        finally:
            self._began.pop((loop, key), None)

    @property
    def age_seconds(self) -> float:
        """Of the oldest round that is under way, 0 for none: a loop that has nothing to do is not late."""
        return self._clock.monotonic_seconds() - min(self._began.values()) if self._began else 0.0

    def stuck(self) -> str:
        """The loop that hangs, in words; empty while none does."""
        if not self._began:
            return ""
        (loop, key), began = min(self._began.items(), key=lambda item: item[1])
        seconds = self._clock.monotonic_seconds() - began
        if seconds < self._stuck_seconds:
            return ""
        return f"the {loop} loop of {key} has been in one round for {seconds:.0f} s, allowed are {self._stuck_seconds:g} s"
