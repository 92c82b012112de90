"""Frames between a model and one viewer: bounded, and never in the model's way.

A viewer that is slower than the model misses frames: the oldest waiting one makes room for the newest. A viewer that
rather wants every frame asks to be waited for; only its own stream stands still then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from atheria_server.core.errors import CallError
from atheria_server.core.infer import InferAnswer

FRAMES: Final = 16
"""Waiting for one viewer at most."""


class FrameBuffer:
    """One writer (`put`, then `end` once), one reader (`take`), in one event loop."""

    def __init__(self, places: int = FRAMES, *, wait: bool = False) -> None:
        self._places = places
        self._wait = wait
        self._frames: deque[InferAnswer] = deque()
        self._ended = False
        self._error: CallError | None = None
        self._changed = asyncio.Condition()
        self.dropped = 0
        """Frames left out so far."""

    async def put(self, frame: InferAnswer) -> None:
        """Add a frame; waits for room only if the viewer asked for it."""
        async with self._changed:
            if len(self._frames) >= self._places:
                if self._wait:
                    await self._changed.wait_for(lambda: len(self._frames) < self._places)
                else:
                    self._frames.popleft()
                    self.dropped += 1
            self._frames.append(frame)
            self._changed.notify_all()

    async def end(self, error: CallError | None) -> None:
        """No more frames; the reader still gets those that wait, then the end or the error."""
        async with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify_all()

    async def take(self) -> InferAnswer | None:
        """The next frame, or None after the last one. Raises the stream's CallError in its place."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._frames or self._ended)
            if self._frames:
                frame = self._frames.popleft()
                self._changed.notify_all()
                return frame
            if self._error is not None:
                raise self._error
            return None
