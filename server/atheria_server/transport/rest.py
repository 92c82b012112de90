"""REST of the Open Inference Protocol, version 2, and /metrics: routes on the HTTP application."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi import HTTPException as FastApiError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.websockets import WebSocket

from atheria_contract import names
from atheria_server.core.errors import CallError, FailedError, TooLargeError, UnsupportedError
from atheria_server.core.infer import InferRequest
from atheria_server.engine.service import VERSION, ModelService
from atheria_server.transport import compression, docs_page
from atheria_server.transport import rest_codec as codec
from atheria_server.transport.errors import http_headers, http_status
from atheria_server.transport.grpc_service import EXTENSIONS, SERVER_NAME
from atheria_server.transport.http_stream import FrameSocket, event_stream
from atheria_server.transport.model_info import PLATFORM, ModelInfo
from atheria_server.transport.openapi import openapi_document

_LOG = logging.getLogger("atheria.rest")
CLIENT_CLOSED: Final = 499
NOT_OFFERED: Final = {
    "/v2/logging": "settings of the log",
    "/v2/trace/setting": "settings of traces",
    "/v2/models/{name}/trace/setting": "settings of traces",
    "/v2/models/{name}/versions/{version}/trace/setting": "settings of traces",
    "/v2/systemsharedmemory/{rest:path}": "shared memory; send tensors in the message",
    "/v2/cudasharedmemory/{rest:path}": "shared memory; send tensors in the message",
    "/v2/models/{name}/generate": "the generate extension; POST to .../infer",
    "/v2/models/{name}/generate_stream": "the generate extension; POST to .../infer_stream",
    "/v2/models/{name}/versions/{version}/generate": "the generate extension; POST to .../infer",
    "/v2/models/{name}/versions/{version}/generate_stream": "the generate extension; POST to .../infer_stream",
}
"""Paths of Triton that are answered with 501 and this sentence."""
Handler = Callable[[Request], Awaitable[Response]]


class RestRoutes:
    """Answers for one model."""

    def __init__(
        self,
        service: ModelService,
        *,
        info: ModelInfo,
        metrics: Callable[[str], tuple[bytes, str]],
        server_version: str,
        max_message_bytes: int,
    ) -> None:
        self._service = service
        self._info = info
        self._metrics = metrics
        self._server_version = server_version
        self._max_message_bytes = max_message_bytes

    def add_to(self, app: FastAPI) -> None:
        """Register everything."""
        get: dict[str, Handler] = {
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
            "/v2/health/optimization": self._optimization,
            "/v2": self._server_metadata,
            "/v2/models/stats": _caught(self._statistics),
            "/metrics": self._metrics_text,
            "/openapi.json": self._openapi,
            "/docs": self._docs,
        }
        post: dict[str, Handler] = {}
        for repository in ("/v2/repository", "/v2/repository/{repository}"):
            post[f"{repository}/index"] = _caught(self._index)
            post[f"{repository}/models/{{name}}/load"] = _caught(self._load)
            post[f"{repository}/models/{{name}}/unload"] = _caught(self._unload)
        for path, what in NOT_OFFERED.items():
            app.router.add_route(path, _not_offered(what), methods=["GET", "POST"])
        for path, handler in get.items():
            app.router.add_route(path, handler, methods=["GET"])
        for path, handler in post.items():
            app.router.add_route(path, handler, methods=["POST"])
        for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            app.router.add_route(prefix, self._named(self._model_metadata), methods=["GET"])
            app.router.add_route(f"{prefix}/ready", self._named(self._model_ready), methods=["GET"])
            app.router.add_route(f"{prefix}/config", _caught(self._config), methods=["GET"])
            app.router.add_route(f"{prefix}/stats", _caught(self._statistics), methods=["GET"])
            app.router.add_route(f"{prefix}/infer", self._named(self._infer), methods=["POST"])
            app.router.add_route(f"{prefix}/infer_stream", self._named(self._infer_stream), methods=["POST"])
            app.router.add_websocket_route(f"{prefix}/stream", self._socket)
        app.add_exception_handler(HTTPException, _http_error)
        app.add_exception_handler(Exception, _failure)
        self._app = app

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, http: Request) -> Response:
        if (wait_seconds := _wait_seconds(http)) and not self._service.ready:
            await self._service.started(wait_seconds)
        if self._service.ready:
            return JSONResponse({"ready": True, names.READY_IN_FLIGHT: self._service.engine.in_flight})
        told: dict[str, Any] = {"ready": False, "reason": self._service.unready_reason}
        standby = self._service.engine.standby
        if not standby.is_ready:
            told[names.READY_STANDBY] = standby.report()
        return JSONResponse(told, 503)

    async def _optimization(self, _: Request) -> Response:
        report = self._service.engine.crew.report
        if not report:
            return JSONResponse({"error": self._service.unready_reason or "nothing is known yet"}, 503)
        return JSONResponse(dict(report))

    async def _server_metadata(self, _: Request) -> Response:
        return JSONResponse(
            {"name": SERVER_NAME, "version": self._server_version, "extensions": list(EXTENSIONS)}
        )

    async def _metrics_text(self, http: Request) -> Response:
        text, content_type = self._metrics(http.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type, "vary": "accept"})

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(self._document())

    async def _docs(self, http: Request) -> Response:
        page = docs_page.docs_page(self._document(), str(http.base_url).rstrip("/"))
        return HTMLResponse(page, headers={"content-security-policy": docs_page.POLICY})

    def _document(self) -> dict[str, Any]:
        service = self._service
        example = self._info.example()
        litserve = self._app.openapi()
        hidden = self._info.refused_path
        paths = {path: calls for path, calls in litserve["paths"].items() if path != hidden}
        return openapi_document(
            model=service.name,
            model_version=VERSION,
            server_version=self._server_version,
            metadata=service.metadata,
            example=codec.request_document(example) if example else None,
            litserve={**litserve, "paths": paths},
        )

    def _named(self, handler: Handler) -> Handler:
        """Check the model's name first."""

        async def named(request: Request) -> Response:
            self._service.check_name(request.path_params["name"], request.path_params.get("version", ""))
            return await handler(request)

        return _caught(named)

    async def _config(self, http: Request) -> Response:
        return JSONResponse(self._info.config(*_name_and_version(http)))

    async def _statistics(self, http: Request) -> Response:
        return JSONResponse(self._info.statistics(*_name_and_version(http)))

    async def _index(self, http: Request) -> Response:
        body = await self._body(http)
        return JSONResponse(
            self._info.index(http.path_params.get("repository", ""), only_ready=codec.read_only_ready(body))
        )

    async def _load(self, _: Request) -> Response:
        self._info.refuse_change("load")
        return Response()

    async def _unload(self, _: Request) -> Response:
        self._info.refuse_change("unload")
        return Response()

    async def _model_metadata(self, _: Request) -> Response:
        def tensors(specs: Any) -> list[dict[str, Any]]:
            return [{"name": s.name, "datatype": s.datatype, "shape": list(s.shape)} for s in specs]

        metadata = self._service.metadata
        return JSONResponse(
            {
                "name": self._service.name,
                "versions": [VERSION],
                "platform": PLATFORM,
                "inputs": tensors(metadata.inputs),
                "outputs": tensors(metadata.outputs),
            }
        )

    async def _model_ready(self, _: Request) -> Response:
        ready = self._service.ready
        return JSONResponse({"name": self._service.name, "ready": ready}, 200 if ready else 503)

    async def _infer(self, http: Request) -> Response:
        request, binary = await self._request(http, "infer")
        answer = await _unless_gone(http, self._service.infer(request))
        if answer is None:
            return Response(status_code=CLIENT_CLOSED)
        began = time.perf_counter()
        body, json_length = codec.write_answer(request, answer, VERSION, binary)
        self._service.events.encoded(time.perf_counter() - began)
        if len(body) > self._max_message_bytes:
            raise TooLargeError(
                f"the answer has {len(body)} bytes, at most {self._max_message_bytes} are allowed; "
                "ask for fewer rows, name fewer outputs, or ask for binary data"
            )
        headers = {}
        if coding := compression.wanted_coding(http.headers.get("accept-encoding", "")):
            body = await asyncio.to_thread(compression.pack, body, coding)
            headers["content-encoding"] = coding
        if json_length is None:
            return Response(body, media_type="application/json", headers=headers)
        headers[codec.HEADER_LENGTH] = str(json_length)
        return Response(body, media_type="application/octet-stream", headers=headers)

    async def _infer_stream(self, http: Request) -> Response:
        return await event_stream(self._service, http, self._request)

    async def _socket(self, socket: WebSocket) -> None:
        path = socket.path_params
        try:
            self._service.check_name(path["name"], path.get("version", ""))
        except CallError as error:
            await socket.send_denial_response(error_response(error))
            return
        await FrameSocket(self._service, socket).serve()

    async def _request(self, http: Request, method: str) -> tuple[InferRequest, frozenset[str] | None]:
        """The request, and which outputs are wanted as binary (None = all). Raises CallError, counted."""
        try:
            self._service.engine.check_room()
            body = await self._body(http)
            began = time.perf_counter()
            request = codec.read_request(
                *_name_and_version(http), body, http.headers.get(codec.HEADER_LENGTH)
            )
        except CallError as error:
            self._service.refused(method, error)
            raise
        self._service.events.decoded(time.perf_counter() - began)
        return request

    async def _body(self, http: Request) -> bytes:
        declared = http.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_message_bytes:
            raise self._too_large(f"{declared}")
        parts = bytearray()
        async for part in http.stream():
            parts += part
            if len(parts) > self._max_message_bytes:
                raise self._too_large(f"more than {self._max_message_bytes}")
        if coding := http.headers.get("content-encoding"):
            return await asyncio.to_thread(compression.unpack, bytes(parts), coding, self._max_message_bytes)
        return bytes(parts)

    def _too_large(self, size: str) -> TooLargeError:
        return TooLargeError(f"the body has {size} bytes; at most {self._max_message_bytes} are allowed")


def _wait_seconds(http: Request) -> float:
    """How long a probe waits for the end of a start; 0 for what is no number of seconds within the bound."""
    try:
        seconds = float(http.query_params.get(names.QUERY_READY_WAIT, "0"))
    except ValueError:
        return 0.0
    return seconds if 0 < seconds <= names.READY_WAIT_MAX_SECONDS else 0.0


def _caught(handler: Handler) -> Handler:
    """Turn a failed call into its status."""

    async def caught(request: Request) -> Response:
        try:
            return await handler(request)
        except CallError as error:
            return error_response(error)

    return caught


async def _failure(_: Request, error: Exception) -> Response:
    """A mistake of this server; uvicorn logs it."""
    return error_response(FailedError(f"the server failed with {type(error).__name__}; see its log"))


def _not_offered(what: str) -> Handler:
    async def refuse(_: Request) -> Response:
        raise UnsupportedError(f"this server does not offer {what}")

    return _caught(refuse)


def _name_and_version(http: Request) -> tuple[str, str]:
    return http.path_params.get("name", ""), http.path_params.get("version", "")


def error_response(error: CallError) -> Response:
    """`{"error": text}` with the status of the table."""
    return JSONResponse({"error": str(error)}, http_status(error), http_headers(error))


async def _unless_gone(http: Request, call: Awaitable[Any]) -> Any:
    """The call's answer, or None if the client went away first; the call is cancelled then."""
    task = asyncio.ensure_future(call)
    watch = asyncio.create_task(_disconnected(http))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        _LOG.debug("event=client_gone path=%s", http.url.path)
        return None
    finally:
        watch.cancel()
        task.cancel()


async def _disconnected(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the protocol's form; what LitServe or the user's LitAPI raised, in FastAPI's."""
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error, FastApiError):
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
    found = {"error": f"{error.detail}: {request.method} {request.url.path}; GET /docs lists the calls"}
    return JSONResponse(found, error.status_code, error.headers)
