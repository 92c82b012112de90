"""Memory that the front and a worker share: buffers that are lent to one message at a time and then used again.

`BufferPool` is the writer's side, `BufferViews` the reader's. A buffer is an anonymous memory file (memfd), mapped once
in each process; the first message in it carries its descriptor. Fresh pages cost more than the copy into them, which is
why buffers are kept. Used by `engine.memory` only.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Final

SMALLEST_BYTES: Final = 64 * 1024
KEPT_BYTES: Final = 256 * 1024 * 1024
KEPT_BUFFERS: Final = 64
"""Buffers that nobody uses are given back beyond this sum or number; each costs a file handle at both ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went through the shared memory of a process and its peer, since the start."""

    buffers_made: int = 0
    """Fresh memory; constant in steady state."""
    buffers_lent: int = 0
    """Messages that had a buffer, made for them or used again."""
    written_bytes: int = 0
    """Copied into them here."""
    read_bytes: int = 0
    """Received in the peer's."""

    def __add__(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(
            buffers_made=self.buffers_made + other.buffers_made,
            buffers_lent=self.buffers_lent + other.buffers_lent,
            written_bytes=self.written_bytes + other.written_bytes,
            read_bytes=self.read_bytes + other.read_bytes,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Buffer:
    """One mapped memory file."""

    buffer_id: int
    map: mmap.mmap
    fd: int
    """Until the reader has it, then -1."""

    @property
    def size_bytes(self) -> int:
        """Of the map."""
        return len(self.map)

    def close_fd(self) -> None:
        """The reader has a descriptor of its own."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class BufferPool:
    """Buffers of one writer."""

    def __init__(self) -> None:
        self._next_id = 0
        self._lent: dict[int, Buffer] = {}
        self._free: list[Buffer] = []
        self._free_bytes = 0
        self.made_total = 0
        """Buffers made since the start; constant in steady state."""
        self.lent_total = 0
        self.written_bytes = 0
        """Asked for by those who wrote them."""

    @property
    def lent_count(self) -> int:
        """Buffers whose message has not been used up."""
        return len(self._lent)

    def lend(self, size_bytes: int) -> Buffer:
        """The smallest free buffer that holds so much, or a new one."""
        fitting = [buffer for buffer in self._free if buffer.size_bytes >= size_bytes]
        if fitting:
            buffer = min(fitting, key=lambda found: found.size_bytes)
            self._free.remove(buffer)
            self._free_bytes -= buffer.size_bytes
        else:
            buffer = self._make(max(SMALLEST_BYTES, 1 << (size_bytes - 1).bit_length()))
        self._lent[buffer.buffer_id] = buffer
        self.lent_total += 1
        self.written_bytes += size_bytes
        return buffer

    def take_back(self, buffer_id: int) -> int | None:
        """The reader is done with it. Gives the id of a buffer that the reader must forget, if there is one."""
        buffer = self._lent.pop(buffer_id, None)
        if buffer is None:
            return None
        if self._free_bytes + buffer.size_bytes > KEPT_BYTES or len(self._free) >= KEPT_BUFFERS:
            buffer.close_fd()
            buffer.map.close()
            return buffer.buffer_id
        self._free.append(buffer)
        self._free_bytes += buffer.size_bytes
        return None

    def close(self) -> None:
        """Give everything up; what the reader has mapped stays its own."""
        for buffer in (*self._lent.values(), *self._free):
            buffer.close_fd()
            buffer.map.close()
        self._lent.clear()
        self._free.clear()
        self._free_bytes = 0

    def _make(self, size_bytes: int) -> Buffer:
        fd = os.memfd_create("atheria-buffer", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, size_bytes)
            mapped = mmap.mmap(fd, size_bytes)
        except BaseException:
            os.close(fd)
            raise
        self._next_id += 1
        self.made_total += 1
        return Buffer(buffer_id=self._next_id, map=mapped, fd=fd)


class BufferViews:
    """The other process's buffers, read-only."""

    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}
        self.read_bytes = 0
        """Of the messages that were received."""

    def add(self, buffer_id: int, fd: int) -> None:
        """Map a new buffer; the descriptor is closed."""
        try:
            self._maps[buffer_id] = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)

    def view(self, buffer_id: int) -> memoryview:
        """All of it. Raises KeyError for one that was never sent."""
        return memoryview(self._maps[buffer_id])

    def forget(self, buffer_id: int) -> None:
        """It is not used again; the memory goes when the last array in it does."""
        self._maps.pop(buffer_id, None)

    def forget_all(self) -> None:
        """As `forget`, of every buffer."""
        self._maps.clear()
