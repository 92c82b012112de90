"""Seconds to wait after a failed attempt."""

from __future__ import annotations

from typing import Final

_FIRST_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 60.0


def backoff_seconds(attempt: int, jitter: float) -> float:
    """Doubles from 0.5 s to 60 s; `jitter` from 0 to 1 takes up to half of it off. `attempt` counts from 1."""
    full = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(attempt - 1, 10))
    return full * (1.0 - 0.5 * jitter)
