"""The frames of one call on their way from its worker to its reader. Filled by `engine.process`, taken by `engine.engine`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from atheria_server.core.errors import CallError, UnreadError
from atheria_server.core.infer import InferAnswer
from atheria_server.core.unread_frames import UnreadFrames, frame_bytes
from atheria_server.engine.calls import Call

_LOG = logging.getLogger("atheria.engine")


@dataclass(slots=True, kw_only=True, eq=False)
class StreamEnd:
    """Last item of a stream; `error` is None when it came to its end."""

    error: CallError | None = None
    seconds: float = 0.0
    """That the frames took in the worker."""


class WorkerStream:
    """At most `worker.FRAMES_AHEAD` frames wait, or of a running batch all that are made (`core.stream_places` bounds the calls,
    `core.unread_frames` the bytes). A frame that its reader waits for goes to it at once, and never counts as one that waits."""

    __slots__ = (
        "_cancel",
        "_end",
        "_frames",
        "_reader",
        "_taken",
        "_unread",
        "call",
        "is_cancelled",
        "work_id",
    )

    def __init__(
        self, work_id: int, call: Call, unread: UnreadFrames[WorkerStream], cancel: Callable[[], None]
    ) -> None:
        """`cancel` lets the worker end it."""
        self.work_id = work_id
        self.call = call
        self.is_cancelled = False
        """The worker is told to end it."""
        self._unread = unread
        self._cancel = cancel
        self._frames: deque[tuple[InferAnswer, int]] = deque()
        self._end: StreamEnd | None = None
        self._taken = 0
        self._reader: asyncio.Future[InferAnswer | StreamEnd] | None = None
        """Waits in `take`; None = nobody does."""

    def put(self, frame: InferAnswer) -> None:
        """One more. It may be too much for what all readers have left, and then end this stream or another."""
        if self._end is not None:
            return
        if self._give(frame):
            self._taken += 1
            return
        size_bytes = frame_bytes(frame)
        self._frames.append((frame, size_bytes))
        behind = self._unread.add(self, size_bytes)
        if behind is not None:
            behind.end_unread()

    def end(self, end: StreamEnd) -> None:
        """No more frames; the first end counts. Those that wait are still given."""
        self._end = self._end or end
        self._give(self._end)

    async def take(self) -> InferAnswer | StreamEnd:
        """The next frame, or the end behind the last one. One reader; one that was cancelled may have missed a frame."""
        if self._frames:
            frame, size_bytes = self._frames.popleft()
            self._unread.take(self, size_bytes)
            self._taken += 1
            return frame
        if self._end is not None:
            return self._end
        self._reader = asyncio.get_running_loop().create_future()
        return await self._reader

    def leave(self) -> None:
        """Nobody takes what waits."""
        self._frames.clear()
        self._unread.forget(self)

    def end_unread(self) -> None:
        """Its reader is the furthest behind, and there is no room for more: it gets the error in place of the rest."""
        waiting, size_bytes = len(self._frames), sum(size for _, size in self._frames)
        self._frames.clear()
        limit = self._unread.max_bytes
        error = UnreadError(
            f"the stream is read too slowly: {self._taken} frames were taken, {waiting} with {size_bytes} bytes waited, and all streams' "
            f"frames that nobody has read may take {limit} bytes; read faster, ask for fewer tokens, or raise the model's unread_bytes"
        )
        _LOG.warning(
            "event=unread_stream_ended frames_sent=%d frames_unread=%d unread_bytes=%d allowed_bytes=%s",
            self._taken,
            waiting,
            size_bytes,
            limit,
        )
        # What the worker still said of it is of no use: its frames have a gap.
        self._end = StreamEnd(error=error)
        self._cancel()

    def _give(self, item: InferAnswer | StreamEnd) -> bool:
        """To the reader that waits; False = none does."""
        if self._reader is None or self._reader.done():
            return False
        self._reader.set_result(item)
        return True
