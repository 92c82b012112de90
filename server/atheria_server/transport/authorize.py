"""A LitAPI's own check of who may call (`authorize`, or LitServe's LIT_SERVER_API_KEY) for the protocol's ways in.

LitServe makes the check a FastAPI dependency of its own routes. Here the same dependency is asked about the headers of a
gRPC call, a v2 request or a WebSocket, through a small application that has nothing else: so a check guards every way to
the model or none. It sees headers, not the body. Built by `app`; of several LitAPIs, every check must pass.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from fastapi import Depends, FastAPI
from litserve.server import no_auth
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from atheria_server.transport.access import is_open_method, is_open_path

V2_PREFIX: Final = "/v2"
REASON: Final = "unauthenticated"
_CODES: Final = {
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
Headers = Sequence[tuple[bytes, bytes]]
Refused = Callable[[str], None]


class Authorization:
    """The checks of a server's LitAPIs."""

    def __init__(self, checks: Sequence[Callable[..., Any]]) -> None:
        """`checks` as LitServe gives them to FastAPI: its own for nobody and for LIT_SERVER_API_KEY, or a LitAPI's."""
        wanted = [check for check in checks if check is not no_auth]
        self.needed = bool(wanted)
        """False = everybody may call."""
        self._app = FastAPI(openapi_url=None, dependencies=[Depends(check) for check in wanted])
        self._app.add_api_route("/", _allowed, methods=["POST"], status_code=204)

    async def refusal(self, headers: Headers) -> Response | None:
        """The answer for a caller that may not; None = it may."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in headers],
            "client": None,
            "server": None,
        }
        answer = Response(b"", 500)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status_code = message["status"]
                answer.raw_headers = list(message["headers"])
            else:
                answer.body = bytes(answer.body) + message.get("body", b"")

        await self._app(scope, receive, send)
        return None if answer.status_code == 204 else answer


class GrpcAuthorization(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Asks before a message is read."""

    def __init__(self, authorization: Authorization, refused: Refused) -> None:
        self._authorization = authorization
        self._refused = refused

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Called once for each call."""
        if is_open_method(handler_call_details.method):
            return await continuation(handler_call_details)
        metadata = handler_call_details.invocation_metadata
        refusal = await self._authorization.refusal([(_bytes(k), _bytes(v)) for k, v in metadata])
        if refusal is None:
            return await continuation(handler_call_details)
        self._refused(REASON)
        failed = refusal.status_code >= 500
        code = grpc.StatusCode.INTERNAL if failed else _CODES.get(refusal.status_code)
        text = bytes(refusal.body).decode(errors="replace")

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(code or grpc.StatusCode.UNAUTHENTICATED, text)

        return grpc.stream_stream_rpc_method_handler(refuse)


class HttpAuthorization:
    """Middleware for the routes of the protocol; LitServe's own routes have the check already."""

    def __init__(self, app: ASGIApp, *, authorization: Authorization, refused: Refused) -> None:
        self._app = app
        self._authorization = authorization
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] in ("http", "websocket") and scope["path"].startswith(V2_PREFIX)
        if not guarded or is_open_path(scope["path"]):
            await self._app(scope, receive, send)
            return
        refusal = await self._authorization.refusal(scope["headers"])
        if refusal is None:
            await self._app(scope, receive, send)
            return
        self._refused(REASON)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
            return
        await refusal(scope, receive, send)


async def _allowed() -> None:
    """Only the checks before it matter."""


def _bytes(value: str | bytes) -> bytes:
    return value.encode("latin-1", "replace") if isinstance(value, str) else value
