"""Whether a dead worker is started again: pure, so that the bound can be read and tested in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """A worker that keeps dying is a broken pod: give up and let the cluster see it."""

    max_restarts: int = 3
    """Restarts allowed within the window."""
    window_seconds: float = 300.0
    delay_seconds: float = 0.5
    """Before the second restart of a window; doubles with each further one. The first is immediate."""


def restart_delay(policy: RestartPolicy, deaths: Sequence[float], now: float) -> float | None:
    """Seconds to wait before the restart, or None = give up. `deaths` are all times of death, the newest included."""
    recent = sum(1 for died_at in deaths if now - died_at < policy.window_seconds)
    if recent > policy.max_restarts:
        return None
    return 0.0 if recent <= 1 else policy.delay_seconds * 2.0 ** (recent - 2)
