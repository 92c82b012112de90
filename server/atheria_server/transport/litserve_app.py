"""LitServe hosts the HTTP side: its application, its own routes for the user's LitAPI, and its lifespan.

`AtheriaServer` is a LitServer whose request queue is ours: LitServe's handlers put a request, we answer through its
response buffer. Its own worker processes, queues and manager are never started. The names of LitServe that this file
touches are pinned by a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import litserve
from fastapi import FastAPI, HTTPException
from litserve.utils import LitAPIStatus, ResponseBufferItem, WorkerSetupStatus
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from atheria_server.core.errors import CallError
from atheria_server.engine.service import ModelService
from atheria_server.transport.errors import http_headers, http_status

V2_PREFIX: Final = "/v2"


class AtheriaServer(litserve.LitServer):  # type: ignore[misc]
    """Hosts one LitAPI's routes; `app` is the HTTP application."""

    def __init__(self, api: Any, service: ModelService, *, max_message_bytes: int) -> None:
        size = {"max_bytes": max_message_bytes}
        super().__init__(
            api, accelerator="cpu", timeout=False, middlewares=[(BodyLimit, size)], disable_openapi_url=True
        )
        # LitServe compresses every answer of 1000 bytes and more; tensors do not compress.
        self.app.user_middleware = [m for m in self.app.user_middleware if m.cls is not GZipMiddleware]
        self._service = service
        self.litapi_request_queues[api.api_path] = _QueueAdaptor(service, self.response_buffer)
        self.workers_setup_status = _Status(service)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Nothing to start: the engine and gRPC live beside the HTTP server and end after it."""
        app.response_queue_id = 0  # type: ignore[attr-defined]
        yield


class _Status:
    """What LitServe's `/health` looks at."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    def __bool__(self) -> bool:
        return True

    def values(self) -> list[Any]:
        return [WorkerSetupStatus.READY if self._service.engine.ready else WorkerSetupStatus.STARTING]


class _QueueAdaptor:
    """What LitServe's handlers see as their request queue."""

    def __init__(self, service: ModelService, buffer: dict[str, ResponseBufferItem]) -> None:
        self._service = service
        self._buffer = buffer
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, item: tuple[int, str, float, Any]) -> None:
        """Start the call; its answer goes to the buffer entry that the handler makes right after this."""
        _, uid, _, payload = item
        if hasattr(payload, "model_dump"):
            payload = payload.model_dump(mode="json")
        task = asyncio.create_task(self._answer(uid, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, uid: str, payload: Any) -> None:
        entry: ResponseBufferItem | None = None
        try:
            if self._service.streams_json:
                async for value in self._service.stream_json(payload):
                    if (entry := self._buffer.get(uid)) is None:
                        return  # the client is gone
                    entry.response_queue.append((value, LitAPIStatus.OK))
                    entry.event.set()
                if (entry := self._buffer.get(uid)) is not None:
                    entry.response_queue.append(("", LitAPIStatus.FINISH_STREAMING))
            else:
                value = await self._service.infer_json(payload)
                if (entry := self._buffer.get(uid)) is not None:
                    entry.response = (value, LitAPIStatus.OK)
        except CallError as error:
            if (entry := self._buffer.get(uid)) is not None:
                _fail(entry, error)
        if entry is not None:
            entry.event.set()


def _fail(entry: ResponseBufferItem, error: CallError) -> None:
    failure = HTTPException(http_status(error), str(error), http_headers(error))
    if entry.response_queue is not None:
        entry.response_queue.append((failure, LitAPIStatus.ERROR))
    else:
        entry.response = (failure, LitAPIStatus.ERROR)


class BodyLimit:
    """Middleware: a body that is too large is refused before it is read. The v2 routes have their own check."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(V2_PREFIX):
            await self._app(scope, receive, send)
            return
        size = 0

        async def limited() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                raise HTTPException(413, f"the body is larger than {self._max_bytes} bytes")
            return message

        await self._app(scope, limited, send)
