"""One stream for one HTTP viewer: computes beside the sending, and writes frames, end and errors.

Shared by server-sent events and WebSocket, which only differ in how a document is sent.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from atheria_server.core.digest import digest_of
from atheria_server.core.errors import CallError, InvalidCallError
from atheria_server.core.infer import InferAnswer, InferRequest
from atheria_server.engine.service import VERSION, ModelService
from atheria_server.transport import rest_codec as codec
from atheria_server.transport.frame_buffer import FrameBuffer

STALL_SECONDS: Final = 60.0
"""A viewer that takes nothing for so long is disconnected."""
SLOW: Final = "slow"
DROP: Final = "drop"
WAIT: Final = "wait"


FRAME: Final = "frame"
FINAL: Final = "final"
ERROR: Final = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One for the viewer."""

    kind: str
    """frame, final or error."""
    data: str | bytes
    """A line of JSON; bytes where tensors follow it, as `rest_codec.write_message` makes them."""
    index: int | None = None
    """Of a frame."""


def slow_default(service: ModelService) -> str:
    """What becomes of a viewer that is slower than the model: a picture more or less is nothing, a missing word is."""
    return WAIT if service.continuous else DROP


class FrameSession:
    """`start` if the first frame matters, then `message` until it gives None, and `close` in every case."""

    def __init__(
        self, service: ModelService, request: InferRequest, binary: frozenset[str] | None, *, slow: str
    ) -> None:
        """`binary`: outputs that are wanted as bytes, None = all; `slow`: drop or wait. Raises InvalidCallError."""
        if slow not in (DROP, WAIT):
            raise InvalidCallError(f"query {SLOW} is {slow!r}; allowed: {DROP}, {WAIT}")
        self._service = service
        self._request = request
        self._binary = binary
        self._buffer = FrameBuffer(wait=slow == WAIT)
        self._sent = 0
        self._next = 0
        self._done = False
        self._first: InferAnswer | None = None
        self._task = asyncio.create_task(self._compute())

    async def start(self) -> None:
        """Wait for the first frame. Raises CallError: a call that fails before it has an ordinary status."""
        self._first = await self._buffer.take()

    async def message(self) -> Message | None:
        """The next one to send: a frame, then the end or an error, then None."""
        if self._done:
            return None
        frame, self._first = self._first, None
        try:
            frame = frame or await self._buffer.take()
            if frame is not None:
                found = self._frame(frame)
                self._next = frame.index + 1
                self._sent += 1
                return found
        except CallError as error:
            self._done = True
            return error_message(error, id=self._request.request_id, next=self._next)
        self._done = True
        return _message(
            FINAL,
            final=True,
            id=self._request.request_id,
            frames=self._sent,
            dropped=self._buffer.dropped,
            next=self._next,
        )

    async def close(self) -> None:
        """Stop computing if that still goes on."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._buffer.dropped:
            self._service.events.frames_dropped(self._buffer.dropped)

    async def _compute(self) -> None:
        error: CallError | None = None
        try:
            async with aclosing(self._service.stream(self._request)) as frames:
                async for frame in frames:
                    await self._buffer.put(frame)
        except CallError as raised:
            error = raised
        await self._buffer.end(error)

    def _frame(self, frame: InferAnswer) -> Message:
        began = time.perf_counter()
        document, raw = codec.answer_document(self._request, frame, VERSION, self._binary)
        document["index"] = frame.index
        document["digest"] = digest_of(frame.outputs)
        found = Message(kind=FRAME, data=codec.write_message(document, raw), index=frame.index)
        self._service.events.encoded(time.perf_counter() - began)
        return found


def error_message(error: CallError, **more: Any) -> Message:
    """For viewers that already have an answer with status 200."""
    return _message(ERROR, error=str(error), code=error.code, reason=error.reason, **more)


def _message(kind: str, **document: Any) -> Message:
    if not document.get("id"):
        document.pop("id", None)
    return Message(kind=kind, data=json.dumps(document, separators=(",", ":")))
