"""How many calls are accepted and not answered, and a wait for none. Counted by `engine.engine`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class InFlight:
    """Of one server, in its event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def began(self) -> None:
        """One more; `ended` it in every case."""
        self.count += 1
        self._none.clear()

    def ended(self) -> None:
        """It is answered, or nobody waits for it any more."""
        self.count -= 1
        if self.count == 0:
            self._none.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around a call."""
        self.began()
        try:
            yield
        finally:
            self.ended()

    async def none(self) -> None:
        """Return when there is none. A call that goes from its check to the queue is none only in between."""
        while self.count:
            await self._none.wait()
