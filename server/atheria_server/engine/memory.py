"""Messages between the front and a worker: a fixed header on a SEQPACKET socket, tensors in shared memory, no pickle.

A message with a body lies in one buffer (`engine.buffers`): raw tensors and byte strings, 64-byte aligned, and then a JSON
description of them. Its reader gives the buffer back: a worker by the DONE of the same work, the front by FREE. Both ends are processes
of one server.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from atheria_server.core import tensors
from atheria_server.engine.buffers import Buffer, BufferPool, BufferViews
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
FREE: Final = 10
"""either way: the buffer of this number has been read and may be written again."""
FORGET: Final = 11
"""either way: the buffer of this number is gone; unmap it."""
PHASE: Final = 12
"""worker -> front, before HELLO: what it does now (`engine.phases`)."""
REST: Final = 13
"""front -> worker: free the device (`engine.device_rest`); answered by DONE."""
ROUSE: Final = 14
"""front -> worker: take the device again; answered by DONE."""
REPORT: Final = 15
"""worker -> front: what a continuous model counted."""

_HEADER: Final = struct.Struct("<B?xxIIxxxxQQd")
"""Kind, whether the description repeats, its length, buffer (0 = no body), work, start of the description, time."""
_REMEMBERED: Final = 256
_REMEMBERED_BYTES: Final = 4096
"""Descriptions that repeat from batch to batch: so many of at most this size are read once."""
_ALIGN: Final = 64
_BYTE: Final = np.dtype(np.uint8)
_FD: Final = struct.Struct("i")
_FD_SPACE: Final = socket.CMSG_SPACE(_FD.size)


@dataclass(slots=True, kw_only=True)
class Message:
    """One received message."""

    kind: int
    work_id: int
    body: Mapping[str, Any]
    """Of a description that repeats it is shared with other messages: read only."""
    view: memoryview
    """Its buffer; empty without a body."""
    buffer_id: int = 0
    """To give back; 0 = no body."""
    time_seconds: float = 0.0
    """Of DONE: that the work took in the worker. Of RUN: monotonic time from which nobody waits for it; 0 = never."""

    def arrays(self, specs: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
        """The tensors that `specs` of the body describe, as read-only views that hold until the buffer is given back."""
        return {spec["name"]: self._array(spec) for spec in specs}

    def copies(self, specs: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
        """As `arrays`, but they last."""
        return {name: array.copy() for name, array in self.arrays(specs).items()}

    def parts(self, places: Sequence[Sequence[int]]) -> tuple[bytes, ...]:
        """Copies of the byte strings that `BodyWriter.add_parts` gave these places."""
        return tuple(bytes(self.view[at : at + size]) for at, size in places)

    def _array(self, spec: Mapping[str, Any]) -> Array:
        datatype, at = spec["datatype"], spec["at"]
        if datatype == tensors.BYTES:
            return tensors.from_bytes(
                spec["name"], datatype, spec["shape"], self.view[at : at + spec["size"]]
            )
        return np.ndarray(spec["shape"], tensors.DTYPES[datatype], buffer=self.view, offset=at)


@dataclass(slots=True, kw_only=True)
class _Part:
    at: int
    size: int
    data: bytes | Sequence[Array]
    """Written already, or arrays to be concatenated along axis 0."""
    dtype: np.dtype[Any]
    shape: list[int]


class BodyWriter:
    """Collects tensors; `seal` copies each exactly once, into a shared buffer."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._at = 0

    def add(self, name: str, parts: Sequence[Array]) -> dict[str, Any]:
        """`parts` one after the other = concatenated along axis 0. Gives the spec for the body."""
        first = parts[0]
        shape = list(first.shape) if len(parts) == 1 else [sum(len(p) for p in parts), *first.shape[1:]]
        data: bytes | Sequence[Array] = parts
        dtype = first.dtype
        if dtype.kind in "OSU":
            data = b"".join(tensors.to_bytes(tensors.to_array(part)) for part in parts)
            size = len(data)
        else:
            dtype = dtype.newbyteorder("<")
            size = sum(part.nbytes for part in parts)
        at = self._place(size, data, dtype, shape)
        return {
            "name": name,
            "datatype": tensors.datatype_of(first),
            "shape": shape,
            "at": at,
            "size": size,
        }

    def add_all(self, arrays: Arrays, wanted: Collection[str] | None = None) -> list[dict[str, Any]]:
        """Each array of the mapping as it is; only the `wanted` ones, unless that is None."""
        return [
            self.add(name, [np.asarray(array)])
            for name, array in arrays.items()
            if wanted is None or name in wanted
        ]

    def add_parts(self, parts: Sequence[bytes]) -> list[list[int]]:
        """Byte strings that are no tensors. Gives the place of each, `[at, size]`, for the body."""
        return [[self._place(len(part), part, _BYTE, [len(part)]), len(part)] for part in parts]

    def _place(self, size: int, data: bytes | Sequence[Array], dtype: np.dtype[Any], shape: list[int]) -> int:
        at = self._at
        self._parts.append(_Part(at=at, size=size, data=data, dtype=dtype, shape=shape))
        self._at += size + -size % _ALIGN
        return at

    def seal(
        self,
        pool: BufferPool,
        kind: int,
        work_id: int,
        body: Mapping[str, Any],
        *,
        time_seconds: float = 0.0,
        repeats: bool = False,
    ) -> Sealed:
        """Everything in a buffer, ready to post. Raises TypeError or ValueError for a body that is not JSON.

        `repeats` = it holds layouts only, nothing of the caller's that its reader may change.
        """
        text = json.dumps(body).encode()
        buffer = pool.lend(self._at + len(text))
        try:
            for part in self._parts:
                _write(buffer, part)
            buffer.map[self._at : self._at + len(text)] = text
        except BaseException:
            pool.take_back(buffer.buffer_id)
            raise
        header = _HEADER.pack(kind, repeats, len(text), buffer.buffer_id, work_id, self._at, time_seconds)
        return Sealed(header=header, buffer=buffer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A message that waits to be sent."""

    header: bytes
    buffer: Buffer

    def post(self, sock: socket.socket) -> None:
        """Send it. Raises BlockingIOError where the other end reads nothing at the moment, OSError if it is gone."""
        if self.buffer.fd < 0:
            sock.send(self.header)
            return
        socket.send_fds(sock, [self.header], [self.buffer.fd])
        self.buffer.close_fd()


def send_short(sock: socket.socket, kind: int, work_id: int) -> None:
    """A message without a body."""
    sock.send(_HEADER.pack(kind, False, 0, 0, work_id, 0, 0.0))


def receive(sock: socket.socket, views: BufferViews) -> Message | None:
    """The next message; None = the other end closed.

    Raises BlockingIOError on an empty non-blocking socket, ConnectionError where the other end is gone, and any other
    OSError where the message is lost, as this process may open no more files.
    """
    data, ancillary, flags, _ = sock.recvmsg(_HEADER.size, _FD_SPACE)
    if not data:
        return None
    if flags & socket.MSG_CTRUNC:
        raise OSError(
            errno.EMFILE, "no file handle is left for a message's buffer; raise the limit of open files"
        )
    kind, repeats, length, buffer_id, work_id, start, time_seconds = _HEADER.unpack(data)
    for _, _, packed in ancillary:
        views.add(buffer_id, _FD.unpack(packed)[0])
    if not buffer_id:
        return Message(kind=kind, work_id=work_id, body={}, view=memoryview(b""))
    view = views.view(buffer_id)
    views.read_bytes += start + length
    text = bytes(view[start : start + length])
    body = _read(text) if repeats and length <= _REMEMBERED_BYTES else json.loads(text)
    return Message(
        kind=kind, work_id=work_id, body=body, view=view, buffer_id=buffer_id, time_seconds=time_seconds
    )


@lru_cache(_REMEMBERED)
def _read(text: bytes) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(text)
    return read


def _write(buffer: Buffer, part: _Part) -> None:
    if isinstance(part.data, bytes):
        buffer.map[part.at : part.at + part.size] = part.data
        return
    if not part.size:
        return
    target: Array = np.ndarray(part.shape, part.dtype, buffer=buffer.map, offset=part.at)
    if len(part.data) == 1:
        target[...] = part.data[0]
    else:
        np.concatenate(part.data, out=target)
