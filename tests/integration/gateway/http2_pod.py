"""A pod's gRPC port, frame by frame: it refuses streams and says that it goes away as no library's server does on command.

HTTP/2 as in RFC 9113, as much of it as Envoy needs to get an answer. Headers that come are not decoded; those that go are
literals without a table (RFC 7541, 6.2.2).
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
GOAWAY: Final = 7
END_STREAM: Final = 1
END_HEADERS: Final = 4
ACK: Final = 1
NO_ERROR: Final = 0
INTERNAL_ERROR: Final = 2
REFUSED_STREAM: Final = 7
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_MESSAGE: Final = b"\0\0\0\0\0"


@dataclass(slots=True, eq=False)
class Connection:
    """One of Envoy's connections; streams are known once all of their request is there."""

    writer: asyncio.StreamWriter
    number: int
    """1 for the pod's first."""
    streams: list[int] = field(default_factory=list)

    def send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        self.writer.write(
            len(payload).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack(">I", stream) + payload
        )

    def answer(self, stream: int) -> None:
        """An empty message, status OK."""
        self.send(HEADERS, END_HEADERS, stream, b"\x88" + _literal(b"content-type", b"application/grpc"))
        self.send(DATA, 0, stream, _EMPTY_MESSAGE)
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, _literal(b"grpc-status", b"0"))

    def refuse(self, stream: int, code: int) -> None:
        self.send(RST_STREAM, 0, stream, struct.pack(">I", code))

    def go_away(self, last_stream: int) -> None:
        """Streams above `last_stream` were not begun and never will be."""
        self.send(GOAWAY, 0, 0, struct.pack(">II", last_stream, NO_ERROR))

    def close(self) -> None:
        self.writer.close()


OnCall = Callable[[Connection, int], Awaitable[None] | None]


class Http2Pod:
    """Listens from `start` to `stop`; `on_call` does what it likes with each call."""

    def __init__(self, on_call: OnCall) -> None:
        self.ports = (0, 0)
        self._on_call = on_call
        self._connections: list[Connection] = []
        self._server: asyncio.Server

    async def start(self) -> Http2Pod:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = int(self._server.sockets[0].getsockname()[1])
        self.ports = (port, port)
        return self

    async def stop(self) -> None:
        self._server.close()
        for one in self._connections:
            one.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(_PREFACE)) != _PREFACE:
                return
            # Counted only now: the activator opens connections, too, to see whether the pod takes them.
            connection = Connection(writer, len(self._connections) + 1)
            self._connections.append(connection)
            connection.send(SETTINGS, 0, 0)
            while True:
                head = await reader.readexactly(9)
                kind, flags = head[3], head[4]
                stream = int.from_bytes(head[5:9], "big") & 0x7FFFFFFF
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if kind in (SETTINGS, PING) and not flags & ACK:
                    connection.send(kind, ACK, 0, payload if kind == PING else b"")
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    connection.streams.append(stream)
                    done = self._on_call(connection, stream)
                    if done is not None:
                        await done
        writer.close()


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value
