"""Bytes of frames that were made and that their readers have not taken. PURE; kept by `engine.engine`, told by its streams.

A text is made whether or not anybody reads it, so that a slow reader holds nobody up. What waits is bounded all the same: beyond
`max_bytes` the stream whose reader is furthest behind ends. A reader that keeps up has little that counts: it ends only where none is
further behind.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from atheria_server.core.infer import InferAnswer

UNREAD_BYTES: Final = 256 << 20
"""Of the texts of a worker, where nobody says otherwise."""
_FRAME_BYTES: Final = 300
_ARRAY_BYTES: Final = 160
"""Of the objects themselves: a frame with text, token and probability takes 750 bytes, one with a token 456 (measured)."""
Stream = TypeVar("Stream", bound=Hashable)


class UnreadFrames(Generic[Stream]):
    """Of all streams of a server."""

    def __init__(self, max_bytes: int | None = None) -> None:
        """None = any number, since the streams stop when their readers do."""
        self.max_bytes = max_bytes
        self.total_bytes = 0
        """That wait now."""
        self.ended_total = 0
        """Streams that were ended for it."""
        self._waiting: dict[Stream, int] = {}

    def add(self, stream: Stream, size_bytes: int) -> Stream | None:
        """A frame of `stream` waits. The stream that ends for it and counts no more; None = all fit."""
        self._waiting[stream] = self._waiting.get(stream, 0) + size_bytes
        self.total_bytes += size_bytes
        if self.max_bytes is None or self.total_bytes <= self.max_bytes:
            return None
        behind = max(self._waiting, key=self._waiting.__getitem__)
        self.ended_total += 1
        self.forget(behind)
        return behind

    def take(self, stream: Stream, size_bytes: int) -> None:
        """Its reader took a frame."""
        self._waiting[stream] -= size_bytes
        self.total_bytes -= size_bytes

    def forget(self, stream: Stream) -> None:
        """Nothing of it waits any more."""
        self.total_bytes -= self._waiting.pop(stream, 0)


def frame_bytes(frame: InferAnswer) -> int:
    """About the memory that it takes."""
    arrays = frame.outputs.values()
    texts = (one for array in arrays if array.dtype == object for one in array.flat)
    return (
        _FRAME_BYTES
        + sum(_ARRAY_BYTES + array.nbytes for array in arrays)
        + sum(len(one) for one in texts if isinstance(one, str | bytes))
        + sum(_ARRAY_BYTES + len(one) for one in frame.parameters.values() if isinstance(one, str))
        + sum(map(len, frame.body))
    )
