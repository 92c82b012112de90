"""A broadcast without memory loss: take `next` before looking at the state, then wait for it."""

from __future__ import annotations

import asyncio
import time


class Pulse:
    """Wakes everyone who waits, each time it is sent."""

    def __init__(self) -> None:
        """Not sent yet."""
        self._event = asyncio.Event()

    def send(self) -> None:
        """Wake all who took `next` before now."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    def next(self) -> asyncio.Event:
        """The event that the next `send` sets."""
        return self._event

    async def wait_until(self, deadline_s: float) -> bool:
        """Wait for the next `send`; False when monotonic time `deadline_s` came first."""
        return await self.until(self._event, deadline_s)

    @staticmethod
    async def until(event: asyncio.Event, deadline_s: float) -> bool:
        """Wait for an event taken by `next`; False when monotonic time `deadline_s` came first."""
        try:
            async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
                await event.wait()
        except TimeoutError:
            return False
        return True
