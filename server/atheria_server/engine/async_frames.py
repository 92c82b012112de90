"""Calls of async LitAPIs, side by side: an event loop in a thread of its own makes frames, the worker's loop takes them.

A call that does not stream has one frame. The worker (`engine.worker`) never waits for a frame: it asks what is ready, and
polls `fileno` together with its socket. Everything of the model runs in the one event loop, for the worker's life, so async
clients that a first call made stay usable.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

FRAMES_AHEAD: Final = 4
"""Frames that a call may make before the worker takes them."""


class AsyncLoop:
    """The thread, and a file descriptor that is readable when frames have come since `drain`."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="litapi-async", daemon=True).start()

    def fileno(self) -> int:
        """For poll."""
        return self._fd

    def wake(self) -> None:
        """Make `fileno` readable; from any thread."""
        os.eventfd_write(self._fd, 1)

    def drain(self) -> None:
        """What comes from now on makes `fileno` readable again."""
        os.eventfd_read(self._fd)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class AsyncFrames:
    """The frames of one call; an iterator for the worker's thread that must only be advanced when `ready`."""

    def __init__(self, runner: AsyncLoop, frames: AsyncGenerator[Any]) -> None:
        self._runner = runner
        self._frames = frames
        self._made: deque[tuple[Any, BaseException | None]] = deque()
        self._room = asyncio.Semaphore(FRAMES_AHEAD)
        self._pump = asyncio.run_coroutine_threadsafe(self._make(), runner.loop)

    @property
    def ready(self) -> bool:
        """Whether `next` gives a frame, the end or a failure at once."""
        return bool(self._made)

    def __iter__(self) -> AsyncFrames:
        return self

    def __next__(self) -> Any:
        frame, end = self._made.popleft()
        if end is not None:
            raise end
        self._runner.loop.call_soon_threadsafe(self._room.release)
        return frame

    def close(self) -> None:
        """Nobody waits any more: cancel what the model does for this call."""
        self._pump.cancel()

    async def _make(self) -> None:
        end: BaseException = StopIteration()
        try:
            async with aclosing(self._frames) as frames:
                await self._room.acquire()
                async for frame in frames:
                    self._made.append((frame, None))
                    self._runner.wake()
                    await self._room.acquire()
        except Exception as error:  # noqa: BLE001 - model code may raise anything; the caller learns it
            end = error
        except asyncio.CancelledError:
            end = RuntimeError("the model cancelled its own call")
        self._made.append((None, end))
        self._runner.wake()
