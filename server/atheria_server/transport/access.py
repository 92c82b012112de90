"""Who may call, and under which name: bearer keys from a mounted file and client certificates, for gRPC and HTTP alike.

Health and readiness stay open, for probes; so does /metrics, for the scraper. Who passes gets a name (`core.callers`)
for limits and fair shares; `app` leaves all of this out where nothing of it is wanted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import grpc
import grpc.aio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from atheria_server.core.api_keys import ApiKey, ApiKeysError, find_key, parse_api_keys
from atheria_server.core.callers import address_caller, certificate_caller, key_caller
from atheria_server.core.errors import StartError
from atheria_server.engine.caller import CALLER
from atheria_server.transport.tls import PEER_STATE

_LOG = logging.getLogger("atheria.access")
ENV_KEYS: Final = "ATHERIA_API_KEYS_FILE"
CHECK_SECONDS: Final = 1.0
"""A changed file counts after so long at most."""
REASON: Final = "unauthenticated"
KEY_WANTED: Final = (
    "this server wants a key: send the header `authorization: Bearer KEY` with one that it knows"
)
CERTIFICATE_WANTED: Final = (
    "this server wants a client certificate: connect with one of the authority that it trusts"
)
_OPEN_METHODS: Final = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/ModelReady",
)
_COMPUTED: Final = (
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelStreamInfer",
)
"""Where it matters who calls."""
_OPEN_PATHS: Final = re.compile(
    # What is under /v2/standby asks for a token of its own.
    r"/v2/health/(live|ready|optimization)|/v2/standby/(sleep|wake)|/v2/models/[^/]+(/versions/[^/]+)?/ready|/health|/metrics"
)
Refused = Callable[[str], None]


def is_open_method(method: str) -> bool:
    """Whether everybody may call this method of gRPC."""
    return method.startswith(_OPEN_METHODS)


def is_open_path(path: str) -> bool:
    """Whether everybody may read this path."""
    return _OPEN_PATHS.fullmatch(path) is not None


class ApiKeys:
    """The keys of a file as it is now."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Raises StartError if the file cannot be used."""
        self._path = path
        self._clock = clock
        self._checked_at = clock()
        try:
            self._seen = self._stamp()
            self._keys = self._read()
        except (OSError, UnicodeDecodeError, ApiKeysError) as error:
            raise StartError(f"{ENV_KEYS}: {path} cannot be used: {error}") from error

    def caller(self, authorization: str) -> str | None:
        """Whose key the value of the header `authorization` holds; None = no key that is known."""
        now = self._clock()
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self._refresh()
        key = find_key(authorization, self._keys)
        return key_caller(key.name, key.digest) if key else None

    def _refresh(self) -> None:
        """A file that cannot be read keeps the keys that were good; an empty one lets nobody in."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self._keys = self._read()
        except (OSError, UnicodeDecodeError, ApiKeysError) as error:
            _LOG.error("event=api_keys_unusable path=%s reason=%r", self._path, str(error))

    def _read(self) -> tuple[ApiKey, ...]:
        keys = parse_api_keys(self._path.read_text(encoding="utf-8"))
        _LOG.log(
            logging.INFO if keys else logging.WARNING,
            "event=api_keys_read path=%s keys=%d",
            self._path,
            len(keys),
        )
        return keys

    def _stamp(self) -> tuple[int, int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_ino, status.st_size


class GrpcAccess(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """UNAUTHENTICATED before a message is read. A client certificate, if wanted, was checked by the handshake."""

    def __init__(self, keys: ApiKeys | None, refused: Refused) -> None:
        self._keys = keys
        self._refused = refused

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Called once for each call, in the task that answers it."""
        if handler_call_details.method.startswith(_OPEN_METHODS):
            return await continuation(handler_call_details)
        if self._keys is None:
            handler = await continuation(handler_call_details)
            return _named_by_peer(handler) if handler_call_details.method in _COMPUTED else handler
        metadata = dict(handler_call_details.invocation_metadata)
        caller = self._keys.caller(_text(metadata.get("authorization", "")))
        if caller is None:
            self._refused(REASON)
            return grpc.stream_stream_rpc_method_handler(_unauthenticated)
        CALLER.set(caller)
        return await continuation(handler_call_details)


class HttpAccess:
    """Middleware: 401 or 403 before the body is read, for WebSocket before it is accepted."""

    def __init__(
        self, app: ASGIApp, *, keys: ApiKeys | None, wants_certificate: bool, refused: Refused
    ) -> None:
        self._app = app
        self._keys = keys
        self._wants_certificate = wants_certificate
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or _OPEN_PATHS.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        certificate = scope.get("state", {}).get(PEER_STATE)
        if self._wants_certificate and not certificate:
            await self._refuse(scope, receive, send, JSONResponse({"error": CERTIFICATE_WANTED}, 403))
            return
        if self._keys is not None:
            caller = self._keys.caller(_text(dict(scope["headers"]).get(b"authorization", b"")))
            if caller is None:
                headers = {"www-authenticate": "Bearer"}
                await self._refuse(scope, receive, send, JSONResponse({"error": KEY_WANTED}, 401, headers))
                return
        elif certificate:
            caller = _http_certificate_caller(certificate)
        else:
            caller = address_caller((scope.get("client") or ("",))[0])
        CALLER.set(caller)
        await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, response: JSONResponse) -> None:
        self._refused(REASON)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(response)
            return
        await response(scope, receive, send)


def grpc_peer_caller(context: Any) -> str:
    """The caller of a gRPC call without a key: its client certificate, else its address."""
    if context.peer_identity_key() is not None:
        found = context.auth_context()

        def values(name: str) -> list[str]:
            return [value.decode("utf-8", "replace") for value in found.get(name, ())]

        return certificate_caller(
            uris=values("peer_uri"), dns=values("peer_dns"), common_name="".join(values("x509_common_name"))
        )
    return address_caller(_host(context.peer()))


def _http_certificate_caller(certificate: Mapping[str, Any]) -> str:
    alternatives = certificate.get("subjectAltName", ())
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return certificate_caller(
        uris=[value for kind, value in alternatives if kind == "URI"],
        dns=[value for kind, value in alternatives if kind == "DNS"],
        common_name="".join(names[-1:]),
    )


def _named_by_peer(handler: Any) -> Any:
    """The same, but it knows its caller: only the context, which interceptors do not see, tells who the peer is."""
    codec = {
        "request_deserializer": handler.request_deserializer,
        "response_serializer": handler.response_serializer,
    }
    if handler.unary_unary is not None:

        async def unary(request: Any, context: Any) -> Any:
            CALLER.set(grpc_peer_caller(context))
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(unary, **codec)

    async def stream(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        CALLER.set(grpc_peer_caller(context))
        async with aclosing(handler.stream_stream(requests, context)) as answers:
            async for answer in answers:
                yield answer

    return grpc.stream_stream_rpc_method_handler(stream, **codec)


async def _unauthenticated(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, KEY_WANTED)


def _host(peer: str) -> str:
    """Of grpc's `ipv4:10.0.0.1:4711` or `ipv6:%5B::1%5D:4711`; empty for a local socket."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
