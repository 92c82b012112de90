"""REST of the Open Inference Protocol, version 2, and /metrics: routes on the HTTP application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from atheria_server.core.errors import CallError, TooLargeError
from atheria_server.engine.service import VERSION, ModelService
from atheria_server.transport import rest_codec as codec
from atheria_server.transport.errors import http_headers, http_status
from atheria_server.transport.grpc_service import EXTENSIONS, PLATFORM, SERVER_NAME

_LOG = logging.getLogger("atheria.rest")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
CLIENT_CLOSED: Final = 499


class RestRoutes:
    """Answers for one model."""

    def __init__(
        self,
        service: ModelService,
        *,
        metrics: Callable[[], bytes],
        server_version: str,
        max_message_bytes: int,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._server_version = server_version
        self._max_message_bytes = max_message_bytes

    def add_to(self, app: FastAPI) -> None:
        """Register everything."""
        get: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/v2/health/live": self._live,
            "/v2/health/ready": self._ready,
            "/v2": self._server_metadata,
            "/metrics": self._metrics_text,
        }
        for path, handler in get.items():
            app.router.add_route(path, handler, methods=["GET"])
        for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            app.router.add_route(prefix, self._named(self._model_metadata), methods=["GET"])
            app.router.add_route(f"{prefix}/ready", self._named(self._model_ready), methods=["GET"])
            app.router.add_route(f"{prefix}/infer", self._named(self._infer), methods=["POST"])
        app.add_exception_handler(HTTPException, _http_error)

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        ready = self._service.engine.ready
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _server_metadata(self, _: Request) -> Response:
        return JSONResponse(
            {"name": SERVER_NAME, "version": self._server_version, "extensions": list(EXTENSIONS)}
        )

    async def _metrics_text(self, _: Request) -> Response:
        return Response(self._metrics(), media_type=METRICS_TYPE)

    def _named(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Check the model's name first, and turn a failed call into its status."""

        async def named(request: Request) -> Response:
            try:
                self._service.check_name(request.path_params["name"], request.path_params.get("version", ""))
                return await handler(request)
            except CallError as error:
                return error_response(error)

        return named

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
        ready = self._service.engine.ready
        return JSONResponse({"name": self._service.name, "ready": ready}, 200 if ready else 503)

    async def _infer(self, http: Request) -> Response:
        try:
            request, binary = codec.read_request(
                http.path_params["name"],
                http.path_params.get("version", ""),
                await self._body(http),
                http.headers.get(codec.HEADER_LENGTH),
            )
        except CallError as error:
            self._service.refused("infer", error)
            raise
        answer = await _unless_gone(http, self._service.infer(request))
        if answer is None:
            return Response(status_code=CLIENT_CLOSED)
        body, json_length = codec.write_answer(request, answer, VERSION, binary)
        if len(body) > self._max_message_bytes:
            raise TooLargeError(
                f"the answer has {len(body)} bytes, at most {self._max_message_bytes} are allowed; "
                "ask for fewer rows, name fewer outputs, or ask for binary data"
            )
        if json_length is None:
            return Response(body, media_type="application/json")
        headers = {codec.HEADER_LENGTH: str(json_length)}
        return Response(body, media_type="application/octet-stream", headers=headers)

    async def _body(self, http: Request) -> bytes:
        declared = http.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self._max_message_bytes:
            raise self._too_large(f"{declared}")
        parts = bytearray()
        async for part in http.stream():
            parts += part
            if len(parts) > self._max_message_bytes:
                raise self._too_large(f"more than {self._max_message_bytes}")
        return bytes(parts)

    def _too_large(self, size: str) -> TooLargeError:
        return TooLargeError(f"the body has {size} bytes; at most {self._max_message_bytes} are allowed")


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
    """Unknown paths and methods, in the protocol's form."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = str(error.detail) if isinstance(error, HTTPException) else "internal error"
    if not request.url.path.startswith("/v2"):
        return JSONResponse({"detail": text}, status)
    return JSONResponse({"error": f"{text}: {request.method} {request.url.path}"}, status)
