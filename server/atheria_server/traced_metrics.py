"""The metrics of a server that makes spans: each event counts and is told to the tracing, too.

A class of its own, so that a server without spans has not even an `if` for them here.
"""

from __future__ import annotations

from collections.abc import Sequence

from atheria_server.engine.calls import Call
from atheria_server.metrics import DECODE, ENCODE, ServerMetrics
from atheria_server.tracing import Tracing


class TracedMetrics(ServerMetrics):
    """Takes the place of ServerMetrics."""

    def __init__(self, *, model: str, version: str, tracing: Tracing) -> None:
        super().__init__(model=model, version=version)
        self._tracing = tracing

    def decoded(self, seconds: float) -> None:
        """See ServiceEvents."""
        super().decoded(seconds)
        self._tracing.timed(DECODE, seconds)

    def encoded(self, seconds: float) -> None:
        """See ServiceEvents."""
        super().encoded(seconds)
        self._tracing.timed(ENCODE, seconds)

    def batch_sent(self, rows: int, waits: Sequence[float], members: Sequence[Call] = ()) -> None:
        """See EngineEvents."""
        super().batch_sent(rows, waits, members)
        self._tracing.batch_sent(members, rows)

    def batch_computed(
        self,
        seconds: float,
        *,
        rows: int,
        calls: int,
        copy_seconds: float | None = None,
        device_seconds: float | None = None,
        members: Sequence[Call] = (),
    ) -> None:
        """See EngineEvents."""
        super().batch_computed(
            seconds,
            rows=rows,
            calls=calls,
            copy_seconds=copy_seconds,
            device_seconds=device_seconds,
            members=members,
        )
        self._tracing.batch_computed(members)

    def stream_sent(self, wait: float, member: Call | None = None) -> None:
        """See EngineEvents."""
        super().stream_sent(wait, member)
        if member is not None:
            self._tracing.stream_sent(member)
