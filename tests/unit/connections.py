"""Connections of a listener that a test has made: all are over before the test is, as one that stays open is a warning in a later test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

END_SECONDS = 30


class Connections:
    """`accept` is for `asyncio.start_server`; each connection is closed when `take` returns or its client leaves."""

    def __init__(self, take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._take = take
        self._tasks: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin a connection."""
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def until_closed(self) -> None:
        """Once the clients are closed. Raises TimeoutError, and what `take` raised."""
        await asyncio.wait_for(asyncio.gather(*self._tasks), END_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._take(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
