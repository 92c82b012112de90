"""LitServe hosts the HTTP side: its application, its own routes for the user's LitAPIs, and its lifespan.

`AtheriaServer` is a LitServer whose request queues are ours: LitServe's handlers put a request, we answer through its
response buffer. Its own worker processes, queues and manager are never started. The names of LitServe that this file
touches are pinned by a test.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

import litserve
from fastapi import Depends, FastAPI, HTTPException, Request
from litserve.callbacks.base import EventTypes
from litserve.utils import LitAPIStatus, ResponseBufferItem, WorkerSetupStatus
from starlette.datastructures import FormData
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from atheria_server.core.errors import CallError
from atheria_server.engine.bodies import HttpError
from atheria_server.engine.request_type import RequestType
from atheria_server.engine.service import ModelService
from atheria_server.models.served import Served
from atheria_server.transport.errors import http_headers, http_status
from atheria_server.transport.stream_start import STREAM_START, HoldStreamStart, StreamStart

V2_PREFIX: Final = "/v2"
_REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)
"""Of LitServe's own route: its handlers hand on only what FastAPI made of the body."""


class AtheriaServer(litserve.LitServer):  # type: ignore[misc]
    """Hosts the routes of the LitAPIs; `app` is the HTTP application.

    Of the user's own LitServer, if there is one, it takes the callbacks, the middlewares, the routes that the user
    added, and the settings of LitServe's routes.
    """

    def __init__(self, served: Served, service: ModelService, *, max_message_bytes: int) -> None:
        self._service = service
        super().__init__(
            list(served.apis),
            accelerator="cpu",
            callbacks=served.callbacks,
            disable_openapi_url=True,
            **served.http_options,
        )
        # LitServe compresses every answer of 1000 bytes and more; tensors do not compress.
        own = [m for m in self.app.user_middleware if m.cls is not GZipMiddleware]
        self.app.user_middleware = [*own, *served.middlewares]
        streams = frozenset(api.api_path for api in served.apis if api.stream and api.spec is None)
        if streams:
            self.app.add_middleware(HoldStreamStart, paths=streams)
        self.app.add_middleware(BodyLimit, max_bytes=max_message_bytes)
        self.app.router.routes.extend(served.routes)
        self.workers_setup_status = _Status(service)
        for api in served.apis:
            self.litapi_request_queues[api.api_path] = _QueueAdaptor(service, self.response_buffer, api)
            if api.spec is not None:
                api.spec.setup(self)
                api.spec.response_queue_id = 0
        if served.callbacks:
            service.listener = self

    def setup_auth(self, lit_api: Any = None) -> Callable[..., Any]:
        """LitServe's check of who may call, as a dependency of its routes; the call finds its request in `_REQUEST`."""
        check = Depends(self._check(lit_api))

        async def checked(request: Request, _: Any = check) -> None:
            _REQUEST.set(request)

        return checked

    def _check(self, lit_api: Any) -> Callable[..., Any]:
        check: Callable[..., Any] = super().setup_auth(lit_api)
        return check

    @property
    def checks(self) -> list[Callable[..., Any]]:
        """Who may call, of each LitAPI, as FastAPI dependencies."""
        return [self._check(api) for api in self.litapi_connector]

    @property
    def active_requests(self) -> int | None:
        """For callbacks: calls of all routes and of gRPC, where the LitServer was told to count them."""
        return self._service.engine.in_flight if self.track_requests else None

    def call_began(self) -> None:
        """A call of the Open Inference Protocol; LitServe's handlers tell of their own."""
        self._callback_runner.trigger_event(
            EventTypes.ON_REQUEST.value, active_requests=self.active_requests, litserver=self
        )

    def call_answered(self) -> None:
        """As `call_began`."""
        self._callback_runner.trigger_event(EventTypes.ON_RESPONSE.value, litserver=self)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Nothing to start: the engine and gRPC live beside the HTTP server and end after it."""
        app.response_queue_id = 0  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self._callback_runner.trigger_event(EventTypes.ON_SERVER_END.value, litserver=self)


class _Status:
    """What LitServe's `/health` looks at."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    def __bool__(self) -> bool:
        return True

    def values(self) -> list[Any]:
        return [WorkerSetupStatus.READY if self._service.engine.ready else WorkerSetupStatus.STARTING]


class _QueueAdaptor:
    """What LitServe's handlers and specs see as the request queue of one LitAPI."""

    def __init__(self, service: ModelService, buffer: dict[str, ResponseBufferItem], api: Any) -> None:
        self._service = service
        self._buffer = buffer
        self._path: str = api.api_path
        self._streams = bool(api.stream)
        self._is_json = RequestType(api).is_json
        self._wants_object = api.spec is not None or _declares_answer(api)
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, item: tuple[int, str, float, Any]) -> None:
        """Start the call; its answer goes to the buffer entry that the handler makes around this."""
        _, uid, _, payload = item
        task = asyncio.create_task(self._answer(uid, payload, STREAM_START.get(), _REQUEST.get()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    put_nowait = put

    async def _answer(
        self, uid: str, payload: Any, start: StreamStart | None, request: Request | None
    ) -> None:
        entry: ResponseBufferItem | None = None
        sent = await self._json_text(payload, request)
        try:
            if self._streams:
                async for value in self._service.stream_body(payload, self._path, sent):
                    if (entry := self._buffer.get(uid)) is None:
                        return  # the client is gone
                    entry.response_queue.append((value, LitAPIStatus.OK))
                    entry.event.set()
                    start = None
                if (entry := self._buffer.get(uid)) is not None:
                    entry.response_queue.append(("", LitAPIStatus.FINISH_STREAMING))
            else:
                value = await self._service.infer_body(payload, self._path, sent)
                if (entry := self._buffer.get(uid)) is not None:
                    entry.response = (self._as_response(value), LitAPIStatus.OK)
        except CallError as error:
            if (entry := self._buffer.get(uid)) is not None:
                failure = _http_failure(error)
                if start is not None:
                    start.failure = failure
                if entry.response_queue is not None:
                    entry.response_queue.append((failure, LitAPIStatus.ERROR))
                else:
                    entry.response = (failure, LitAPIStatus.ERROR)
        if entry is not None:
            entry.event.set()

    async def _json_text(self, payload: Any, request: Request | None) -> bytes | None:
        """The body that FastAPI has read, where it is JSON and the payload is made of nothing else."""
        if request is None or not self._is_json or isinstance(payload, FormData):
            return None
        try:
            await request.json()
            return await request.body()
        except ValueError:
            return None

    def _as_response(self, value: Any) -> Any:
        """The worker has written the JSON; only a spec, or FastAPI with a declared type, looks into it."""
        if isinstance(value, Response):
            return value
        return json.loads(value) if self._wants_object else Response(value, media_type="application/json")


def _declares_answer(api: Any) -> bool:
    kind = inspect.signature(api.encode_response).return_annotation
    return kind is not inspect.Signature.empty and not (isinstance(kind, type) and issubclass(kind, Response))


def _http_failure(error: CallError) -> HTTPException:
    if isinstance(error, HttpError):
        return HTTPException(error.status, error.detail, error.headers)
    return HTTPException(http_status(error), str(error), http_headers(error))


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
