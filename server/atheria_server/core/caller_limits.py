"""How many calls one caller may have in flight, so that one alone cannot take the whole queue; pure.

`engine.service` takes a place for each request that it computes, those inside a stream or a WebSocket too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from atheria_server.core.errors import CallerLimitError, StartError

ENV_CONCURRENCY: Final = "ATHERIA_CALLER_CONCURRENCY"
MAX_CONCURRENCY: Final = 1_000_000


class CallerLimits:
    """Counts calls by caller; remembers only callers that have some. Used from one thread."""

    def __init__(self, limit: int) -> None:
        """At most `limit` calls at a time for each caller; 0 = as many as they like."""
        self._limit = limit
        self._in_flight: dict[str, int] = {}

    @property
    def callers(self) -> int:
        """How many have calls in flight."""
        return len(self._in_flight)

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """Holds one of the caller's places inside the block. Raises CallerLimitError."""
        if not self._limit:
            yield
            return
        taken = self._in_flight.get(caller, 0)
        if taken >= self._limit:
            raise CallerLimitError(
                f"caller {caller!r} has {taken} calls in flight, the most allowed here; wait for an answer and try "
                f"again, or have {ENV_CONCURRENCY} raised"
            )
        self._in_flight[caller] = taken + 1
        try:
            yield
        finally:
            left = self._in_flight.pop(caller) - 1
            if left:
                self._in_flight[caller] = left


def caller_concurrency(environment: Mapping[str, str]) -> int:
    """Calls that a caller may have in flight; 0 = no limit. Raises StartError."""
    text = environment.get(ENV_CONCURRENCY, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_CONCURRENCY):
        raise StartError(
            f"{ENV_CONCURRENCY} is {text!r}; expected a whole number from 1 to {MAX_CONCURRENCY}, or 0 for no limit"
        )
    return int(text)
