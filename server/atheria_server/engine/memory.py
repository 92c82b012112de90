"""Tensors between the front and the worker: one anonymous memory file (memfd) per message, never a pickle.

A message on the SEQPACKET socket is a fixed header and, if it has a body, the file's descriptor. The file holds the
raw tensors, 64-byte aligned, and then a JSON description of them. Both ends are processes of one server.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atheria_server.core import tensors
from atheria_server.models.contract import Array, Arrays

CONFIG: Final = 1
"""front -> worker, first of all: which model to build."""
HELLO: Final = 2
"""worker -> front: setup is done."""
FATAL: Final = 3
"""worker -> front: the model cannot be loaded; the worker ends."""
RUN: Final = 4
"""front -> worker: compute this batch."""
STREAM: Final = 5
"""front -> worker: start this stream."""
DONE: Final = 6
"""worker -> front: results of the batch, or the end of the stream (with its error, if any)."""
FRAME: Final = 7
"""worker -> front: one frame of the stream."""
CREDIT: Final = 8
"""front -> worker: the caller took a frame; the stream may make another."""
CANCEL: Final = 9
"""front -> worker: nobody waits for this stream any more."""

_HEADER: Final = struct.Struct("<BxxxIQQ")
_ALIGN: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One received message."""

    kind: int
    work_id: int
    body: dict[str, Any]
    view: memoryview
    """The memory file; empty without a body."""

    def arrays(self, specs: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
        """The tensors that `specs` of the body describe, as read-only views that keep the file alive."""
        return {
            spec["name"]: tensors.from_bytes(
                spec["name"],
                spec["datatype"],
                spec["shape"],
                self.view[spec["at"] : spec["at"] + spec["size"]],
            )
            for spec in specs
        }


class BodyWriter:
    """Collects tensors into a memory file, each exactly once copied."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("atheria-batch", os.MFD_CLOEXEC)
        self._at = 0

    def close(self) -> None:
        """Give the file up; the receiver has its own descriptor by then."""
        os.close(self._fd)

    def add(self, name: str, parts: Sequence[Array]) -> dict[str, Any]:
        """Write `parts` one after the other = concatenated along axis 0. Gives the spec for the body."""
        start = self._at
        for part in parts:
            self._write(tensors.to_bytes(part) if part.dtype.kind in "OSU" else _raw(part))
        size = self._at - start
        self._at += -self._at % _ALIGN
        first = parts[0]
        shape = list(first.shape) if len(parts) == 1 else [sum(len(p) for p in parts), *first.shape[1:]]
        return {
            "name": name,
            "datatype": tensors.datatype_of(first),
            "shape": shape,
            "at": start,
            "size": size,
        }

    def add_all(self, arrays: Arrays, wanted: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Each array of the mapping as it is; only the `wanted` ones, unless that is None."""
        return [
            self.add(name, [tensors.to_array(array)])
            for name, array in arrays.items()
            if wanted is None or name in wanted
        ]

    def send(self, sock: socket.socket, kind: int, work_id: int, body: Mapping[str, Any]) -> None:
        """Append the description and send the file. Raises OSError if the other end is gone."""
        self.post(sock, self.seal(kind, work_id, body))

    def seal(self, kind: int, work_id: int, body: Mapping[str, Any]) -> bytes:
        """Append the description; gives the message that `post` sends, as often as it takes."""
        text = json.dumps(body).encode()
        start = self._at
        self._write(text)
        return _HEADER.pack(kind, len(text), work_id, start)

    def post(self, sock: socket.socket, sealed: bytes) -> None:
        """Send the file. Raises BlockingIOError where the other end reads nothing at the moment, OSError if it is gone."""
        socket.send_fds(sock, [sealed], [self._fd])

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view.nbytes:
            written = os.pwrite(self._fd, view, self._at)
            self._at += written
            view = view[written:]


def send_short(sock: socket.socket, kind: int, work_id: int) -> None:
    """A message without a body."""
    sock.send(_HEADER.pack(kind, 0, work_id, 0))


def send_body(sock: socket.socket, kind: int, work_id: int, body: Mapping[str, Any]) -> None:
    """A message with a body and no tensors."""
    writer = BodyWriter()
    try:
        writer.send(sock, kind, work_id, body)
    finally:
        writer.close()


def receive(sock: socket.socket) -> Message | None:
    """The next message; None = the other end closed. Raises BlockingIOError on an empty non-blocking socket."""
    data, fds, _, _ = socket.recv_fds(sock, _HEADER.size, 1)
    if not data:
        return None
    kind, length, work_id, start = _HEADER.unpack(data)
    if not fds:
        return Message(kind=kind, work_id=work_id, body={}, view=memoryview(b""))
    try:
        view = memoryview(mmap.mmap(fds[0], start + length, access=mmap.ACCESS_READ))
    finally:
        os.close(fds[0])
    return Message(
        kind=kind, work_id=work_id, body=json.loads(bytes(view[start : start + length])), view=view
    )


def _raw(array: Array) -> memoryview:
    flat = tensors.to_array(array).reshape(-1)
    return flat.data.cast("B") if flat.size else memoryview(b"")
