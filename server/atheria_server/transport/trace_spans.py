"""The span of a whole call, for both protocols; only part of the server where `tracing` is on.

Both stand behind `transport.trace_headers`, which has read the caller's trace. Health, metadata and metrics get no span.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from atheria_server.tracing import Tracing
from atheria_server.transport.grpc_not_offered import SERVICE

_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that OpenTelemetry counts as the server's errors."""
_FIRST_FAULT: Final = 500
_FOLDERS: Final = {"name": "/models/", "version": "/versions/"}
"""What stands before a parameter of our routes; Starlette tells the parameters, not the route."""
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class GrpcSpans(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """For ModelInfer and ModelStreamInfer."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Called once for each call."""
        handler = await continuation(handler_call_details)
        match handler_call_details.method.removeprefix(f"/{SERVICE}/"):
            case "ModelInfer":
                return handler._replace(unary_unary=self._unary(handler.unary_unary))
            case "ModelStreamInfer":
                return handler._replace(stream_stream=self._stream(handler.stream_stream))
        return handler

    def _unary(self, answer: Any) -> Any:
        async def traced(request: Any, context: Any) -> Any:
            with self._tracing.server_call(f"{SERVICE}/ModelInfer", _grpc_attributes("ModelInfer")) as span:
                try:
                    return await answer(request, context)
                finally:
                    _grpc_status(span, context)

        return traced

    def _stream(self, answer: Any) -> Any:
        async def traced(requests: Any, context: Any) -> AsyncIterator[Any]:
            name = "ModelStreamInfer"
            with self._tracing.server_call(f"{SERVICE}/{name}", _grpc_attributes(name)) as span:
                try:
                    async for message in answer(requests, context):
                        yield message
                finally:
                    _grpc_status(span, context)

        return traced


class HttpSpans:
    """Middleware, for POSTs and WebSockets."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "GET" if scope["type"] == "websocket" else "")
        if scope["type"] != "websocket" and method != "POST":
            self._tracing.no_server_call()
            await self._app(scope, receive, send)
            return
        attributes = {
            "http.request.method": method,
            "url.path": scope["path"],
            "url.scheme": scope.get("scheme", "http"),
        }
        with self._tracing.server_call(method, attributes) as span:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= _FIRST_FAULT:
                        _set_error(span)
                await send(message)

            try:
                await self._app(scope, receive, watched)
            finally:
                if route := _route(scope):
                    span.set_attribute("http.route", route)
                    span.update_name(f"{method} {route}")


def _route(scope: Scope) -> str:
    """The path without what callers fill in; empty for a path that leads nowhere."""
    if "endpoint" not in scope:
        return ""
    path: str = scope["path"]
    for key, value in scope.get("path_params", {}).items():
        folder = _FOLDERS.get(key, "/")
        path = path.replace(f"{folder}{value}", f"{folder}{{{key}}}", 1)
    return path


def _grpc_attributes(method: str) -> dict[str, str]:
    return {"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": method}


def _grpc_status(span: Any, context: Any) -> None:
    found = context.code() or 0
    code = found if isinstance(found, grpc.StatusCode) else _CODES[found]
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code in _FAULTS:
        _set_error(span)


def _set_error(span: Any) -> None:
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR)
