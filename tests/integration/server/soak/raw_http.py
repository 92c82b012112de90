"""HTTP as bytes on a socket, so that a test can send what no client library would, and see every byte that comes back."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

CODES = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """One whole answer."""

    status: int
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes

    @property
    def code(self) -> str:
        """The name of the gRPC code that the status stands for."""
        return CODES.get(self.status, f"HTTP {self.status}")

    @property
    def error(self) -> str:
        """Text of a refusal."""
        found: Any = json.loads(self.body)
        return str(found["error"])


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A request of one connection."""
    lines = [f"POST {path} HTTP/1.1", "Host: soak", "Connection: close"]
    fields = {"Content-Length": str(len(body))} | (headers or {})
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def exchange(
    port: int,
    data: bytes,
    *,
    pause_seconds: float = 0.0,
    ends: bool = False,
    leave_after: float | None = None,
) -> bytes | None:
    """Send, and read until the server closes. None if it was left after `leave_after` seconds.

    `pause_seconds`: nothing is read for so long. `ends`: our side is closed after the data.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**14)
    try:
        async with asyncio.timeout(leave_after) as leaving:
            writer.write(data)
            with suppress(ConnectionError):  # refused before it was read; the answer is there all the same
                await writer.drain()
            if ends:
                writer.write_eof()
            await asyncio.sleep(pause_seconds)
            return await _everything(reader)
    except TimeoutError:
        if not leaving.expired():
            raise
        return None
    finally:
        writer.transport.abort()


async def _everything(reader: asyncio.StreamReader) -> bytes:
    parts = bytearray()
    with suppress(ConnectionError):
        while part := await reader.read(2**16):
            parts += part
    return bytes(parts)


def parse(data: bytes) -> HttpAnswer:
    """Of everything that came back. Raises AssertionError unless that is exactly one whole answer."""
    head, gap, rest = data.partition(b"\r\n\r\n")
    assert gap, f"not an answer: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body, rest = _unchunk(rest)
    else:
        size = int(headers["content-length"])
        body, rest = rest[:size], rest[size:]
        assert len(body) == size, f"the answer was cut short: {data[:200]!r}"
    assert not rest, f"a second answer: {rest[:200]!r}"
    return HttpAnswer(status=int(first.split()[1]), headers=headers, body=body)


def _unchunk(data: bytes) -> tuple[bytes, bytes]:
    body = bytearray()
    while True:
        size, gap, data = data.partition(b"\r\n")
        assert gap, "the answer was cut short"
        if not (length := int(size, 16)):
            return bytes(body), data[2:]
        body += data[:length]
        data = data[length + 2 :]
