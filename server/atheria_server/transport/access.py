"""Who may call: bearer keys from a mounted file, for gRPC and HTTP alike. Without a file everybody may.

Health stays open, for probes; so does /metrics, for the scraper.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from atheria_server.core.api_keys import ApiKeysError, is_allowed, parse_api_keys
from atheria_server.core.errors import StartError

_LOG = logging.getLogger("atheria.access")
ENV_KEYS: Final = "ATHERIA_API_KEYS_FILE"
CHECK_SECONDS: Final = 1.0
"""A changed file counts after so long at most."""
REASON: Final = "unauthenticated"
REFUSAL: Final = "this server wants a key: send the header `authorization: Bearer KEY` with one that it knows"
_OPEN_METHODS: Final = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ModelReady",
)
_OPEN_PATHS: Final = frozenset({"/v2/health/live", "/v2/health/ready", "/health", "/metrics"})
Refused = Callable[[str], None]


class ApiKeys:
    """The keys of a file as it is now."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Raises StartError if the file cannot be used."""
        self._path = path
        self._clock = clock
        self._checked_at = clock()
        try:
            self._seen = self._stamp()
            self._digests = self._read()
        except (OSError, UnicodeDecodeError, ApiKeysError) as error:
            raise StartError(f"{ENV_KEYS}: {path} cannot be used: {error}") from error

    def allow(self, authorization: str) -> bool:
        """Whether the value of the header `authorization` holds one of the keys."""
        now = self._clock()
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self._refresh()
        return is_allowed(authorization, self._digests)

    def _refresh(self) -> None:
        """A file that cannot be read keeps the keys that were good; an empty one lets nobody in."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self._digests = self._read()
        except (OSError, UnicodeDecodeError, ApiKeysError) as error:
            _LOG.error("event=api_keys_unusable path=%s reason=%r", self._path, str(error))

    def _read(self) -> tuple[bytes, ...]:
        digests = parse_api_keys(self._path.read_text(encoding="utf-8"))
        _LOG.log(
            logging.INFO if digests else logging.WARNING,
            "event=api_keys_read path=%s keys=%d",
            self._path,
            len(digests),
        )
        return digests

    def _stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size


class GrpcAccess(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """UNAUTHENTICATED before a message is read."""

    def __init__(self, keys: ApiKeys, refused: Refused) -> None:
        self._keys = keys
        self._refused = refused

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Called once for each call."""
        if handler_call_details.method.startswith(_OPEN_METHODS):
            return await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata)
        if self._keys.allow(_text(metadata.get("authorization", ""))):
            return await continuation(handler_call_details)
        self._refused(REASON)
        return grpc.stream_stream_rpc_method_handler(_unauthenticated)


class HttpAccess:
    """Middleware: 401 before the body is read, for WebSocket before it is accepted."""

    def __init__(self, app: ASGIApp, *, keys: ApiKeys, refused: Refused) -> None:
        self._app = app
        self._keys = keys
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if self._keys.allow(_text(shown)):
            await self._app(scope, receive, send)
            return
        self._refused(REASON)
        response = JSONResponse({"error": REFUSAL}, 401, {"www-authenticate": "Bearer"})
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(response)
            return
        await response(scope, receive, send)


async def _unauthenticated(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSAL)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
