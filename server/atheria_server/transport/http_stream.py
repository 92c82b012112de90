"""Frames of a model over HTTP: server-sent events (POST .../infer_stream) and WebSocket (GET .../stream).

Both take the JSON of `/infer`; a WebSocket takes and gives binary tensors, too. Every frame carries its `index` and a `digest` of its outputs; the parameter
`from_frame` (or the header Last-Event-ID) resumes a stream on this or any other replica of the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from atheria_server.core.errors import CallError, InvalidCallError
from atheria_server.core.infer import InferRequest
from atheria_server.core.protocol_parameters import FROM_FRAME
from atheria_server.engine.service import ModelService
from atheria_server.transport import rest_codec as codec
from atheria_server.transport.frame_session import (
    SLOW,
    STALL_SECONDS,
    FrameSession,
    Message,
    error_message,
    slow_default,
)

_LOG = logging.getLogger("atheria.rest")
REQUESTS_AHEAD: Final = 4
"""Further requests that may wait on one WebSocket while one is answered."""
POLICY_VIOLATION: Final = 1008
ReadRequest = Callable[[Request, str], Awaitable[tuple[InferRequest, frozenset[str] | None]]]


def refuse_binary(binary: frozenset[str] | None) -> None:
    """Events are text. Raises InvalidCallError."""
    if binary is None or binary:
        raise InvalidCallError(
            f"{codec.BINARY} is asked for, but events are JSON; leave it out, or use the WebSocket or ModelStreamInfer of gRPC"
        )


class EventStream(Response):
    """A response of server-sent events: `data:` with one JSON document each; `event:` is frame, final or error."""

    def __init__(self, session: FrameSession) -> None:
        super().__init__(media_type="text/event-stream", headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._session = session

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send))
        watching = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        except TimeoutError:
            _LOG.warning("event=viewer_stalled seconds=%g", STALL_SECONDS)
        finally:
            for task in (sending, watching):
                task.cancel()
            await asyncio.gather(sending, watching, self._session.close(), return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        while (message := await self._session.message()) is not None:
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": _event(message), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def event_stream(service: ModelService, http: Request, read: ReadRequest) -> Response:
    """The answer to POST .../infer_stream. Raises CallError until there is a first frame."""
    request, binary = await read(http, "stream")
    try:
        refuse_binary(binary)
        request = _resumed(request, http.headers.get("last-event-id"))
        slow = http.query_params.get(SLOW, slow_default(service))
        session = FrameSession(service, request, frozenset(), slow=slow)
    except CallError as error:
        service.refused("stream", error)
        raise
    starting = asyncio.create_task(session.start())
    watching = asyncio.create_task(_gone(http.receive))
    try:
        await asyncio.wait({starting, watching}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            return EventStream(session)
    except BaseException:
        await session.close()
        raise
    finally:
        starting.cancel()
        watching.cancel()
    await session.close()
    return Response(status_code=499)


class FrameSocket:
    """One WebSocket: each message is a request, answered in turn by its frames and an end."""

    def __init__(self, service: ModelService, socket: WebSocket) -> None:
        self._service = service
        self._socket = socket
        self._requests: asyncio.Queue[str | bytes] = asyncio.Queue(REQUESTS_AHEAD)

    async def serve(self) -> None:
        """Until the viewer closes it."""
        await self._socket.accept()
        reading = asyncio.create_task(self._read())
        answering = asyncio.create_task(self._answer_all())
        try:
            await asyncio.wait({reading, answering}, return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, answering):
                if task.done():
                    task.result()
        except TimeoutError:
            _LOG.warning("event=viewer_stalled seconds=%g", STALL_SECONDS)
            with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                async with asyncio.timeout(1):
                    await self._socket.close(POLICY_VIOLATION, "nothing was read for too long")
        except WebSocketDisconnect:
            _LOG.debug("event=client_gone path=%s", self._socket.url.path)
        finally:
            reading.cancel()
            answering.cancel()
            await asyncio.gather(reading, answering, return_exceptions=True)

    async def _read(self) -> None:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            sent = message.get("text")
            if self._requests.full():
                await self._socket.close(
                    POLICY_VIOLATION, f"more than {REQUESTS_AHEAD} requests wait; read their frames first"
                )
                return
            self._requests.put_nowait(message["bytes"] if sent is None else sent)

    async def _answer_all(self) -> None:
        while True:
            sent = await self._requests.get()
            try:
                request, binary = self._request(sent)
                slow = self._socket.query_params.get(SLOW, slow_default(self._service))
                session = FrameSession(self._service, request, binary, slow=slow)
            except CallError as error:
                self._service.refused("stream", error)
                await self._send(error_message(error))
                continue
            try:
                while (message := await session.message()) is not None:
                    await self._send(message)
            finally:
                await session.close()

    def _request(self, sent: str | bytes) -> tuple[InferRequest, frozenset[str] | None]:
        path = self._socket.path_params
        return codec.read_message(path["name"], path.get("version", ""), sent)

    async def _send(self, message: Message) -> None:
        async with asyncio.timeout(STALL_SECONDS):
            if isinstance(message.data, bytes):
                await self._socket.send_bytes(message.data)
            else:
                await self._socket.send_text(message.data)


def _event(message: Message) -> bytes:
    number = "" if message.index is None else f"id: {message.index}\n"
    return f"event: {message.kind}\n{number}data: {message.data!s}\n\n".encode()


def _resumed(request: InferRequest, last_event_id: str | None) -> InferRequest:
    """As if `from_frame` were the frame after the last one that the viewer has seen."""
    if last_event_id is None or FROM_FRAME in request.parameters:
        return request
    if (seen := codec.whole_number(last_event_id)) is None:
        raise InvalidCallError(f"header Last-Event-ID is {last_event_id!r}; expected the index of a frame")
    return replace(request, parameters={**request.parameters, FROM_FRAME: seen + 1})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
