"""The time in which a draining server still accepts calls, as its event loop lives it. Called by `app`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

TURNS: Final = 10


async def pass_delay(seconds: float, ended: Callable[[], Awaitable[None]]) -> None:
    """Wait for `seconds`, or less when `ended()` returns before.

    In turns: on a node without a free processor all of the time may pass at once, while calls that were sent in it wait unread.
    Then only one turn is over, and they are read in the next.
    """
    for _ in range(TURNS):
        try:
            await asyncio.wait_for(ended(), seconds / TURNS)
        except TimeoutError:
            continue
        return
