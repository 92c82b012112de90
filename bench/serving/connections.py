"""How the client sends ready-made bytes: raw gRPC without (de)serialisers, and HTTP/1.1 on asyncio streams.

Both are as thin as the libraries allow, because the client shares the processor with the server under test.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, Protocol

import grpc
from google.rpc import error_details_pb2, status_pb2

from bench.serving import payloads

CALL_SECONDS: Final = 60.0
_GRPC_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]
_MAX_HEAD_BYTES: Final = 64 * 1024


class RefusedError(Exception):
    """The server answered, but not with a result: `code` (gRPC's name or HTTP's number) and `reason` ("" = none)."""

    def __init__(self, code: str, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason


class Connection(Protocol):
    """One way to the server."""

    async def call(self, request: bytes) -> tuple[bytes, dict[str, str]]:
        """The answer's body, and HTTP's headers. Raises RefusedError."""

    async def close(self) -> None:
        """Once, at the end."""


class GrpcConnection:
    """One channel; takes any number of calls at once."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(target, options=_GRPC_OPTIONS)
        self._method = self._channel.unary_unary(payloads.GRPC_METHOD)

    async def call(self, request: bytes) -> tuple[bytes, dict[str, str]]:
        """See Connection."""
        try:
            return await self._method(request, timeout=CALL_SECONDS), {}
        except grpc.aio.AioRpcError as error:
            raise RefusedError(
                error.code().name, _reason(error), error.details() or error.debug_error_string() or ""
            ) from error

    async def close(self) -> None:
        """See Connection."""
        await self._channel.close()


class HttpConnection:
    """One keep-alive connection; takes one call at a time."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: bytes) -> tuple[bytes, dict[str, str]]:
        """See Connection."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._exchange(request)
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            raise RefusedError("CONNECTION", "", f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """See Connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: bytes) -> tuple[bytes, dict[str, str]]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=_MAX_HEAD_BYTES)
        reader, writer = self._streams
        writer.write(request)
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if "content-length" not in headers:
            raise OSError(f"the answer has no Content-Length: {status_line}")
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            await self.close()
        code = status_line.split(" ")[1]
        if code != "200":
            raise RefusedError(code, _json_reason(body), body[:300].decode(errors="replace"))
        return body, headers


def connect(kind: str, target: str) -> Connection:
    """A connection for one of `payloads.FORMATS`."""
    return GrpcConnection(target) if kind in payloads.GRPC_KINDS else HttpConnection(target)


def _reason(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""


def _json_reason(body: bytes) -> str:
    try:
        document: Any = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("reason", "")) if isinstance(document, dict) else ""
