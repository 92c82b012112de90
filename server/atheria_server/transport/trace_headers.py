"""Reads a caller's trace context from gRPC metadata and HTTP headers, once at the start of each call.

Both set `current_trace.TRACE` in the call's task. Without `traceparent` a call costs one look through its headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc.aio
from starlette.types import ASGIApp, Receive, Scope, Send

from atheria_contract.trace_context import (
    TRACEPARENT,
    TRACESTATE,
    TraceContext,
    parse_trace_context,
)
from atheria_server.current_trace import TRACE

_PARENT_BYTES = TRACEPARENT.encode()


class GrpcTrace(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """For each gRPC call; its handler runs in the same task."""

    def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Awaitable[Any]:
        """Not a coroutine itself: one less for each call."""
        for key, _ in handler_call_details.invocation_metadata:
            if key == TRACEPARENT:
                TRACE.set(_read(handler_call_details.invocation_metadata))
                break
        return continuation(handler_call_details)


class HttpTrace:
    """Middleware; it also clears the trace, as requests of one connection may share a context."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        trace = None
        if scope["type"] in ("http", "websocket"):
            for key, _ in scope["headers"]:
                if key == _PARENT_BYTES:
                    trace = _read((k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"])
                    break
        TRACE.set(trace)
        await self._app(scope, receive, send)


def _read(headers: Iterable[tuple[str, Any]]) -> TraceContext | None:
    """Two `traceparent` are as bad as none; several `tracestate` are one list."""
    parents: list[str] = []
    states: list[str] = []
    for key, value in headers:
        if key == TRACEPARENT:
            parents.append(value)
        elif key == TRACESTATE:
            states.append(value)
    return parse_trace_context(parents[0], ",".join(states)) if len(parents) == 1 else None
