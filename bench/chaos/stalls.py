"""When the run itself stood still: what it heard then it heard late, and the product is not to blame. Read by the verdict.

One event loop plays the callers, the kubelet and the faults, on a machine that may be busy with more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

_TICK_SECONDS: Final = 0.1

Stall = tuple[float, float]
"""Monotonic seconds: from when on nothing was heard, and until when."""


async def watch_stalls(found: list[Stall]) -> None:
    """Add each stall of this event loop until it is cancelled."""
    while True:
        due = time.monotonic() + _TICK_SECONDS
        await asyncio.sleep(_TICK_SECONDS)
        if (now := time.monotonic()) - due > _TICK_SECONDS:
            found.append((due, now))


def stalled_seconds(stalls: Sequence[Stall], begin: float, end: float) -> float:
    """Of the time between two moments."""
    return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in stalls)
