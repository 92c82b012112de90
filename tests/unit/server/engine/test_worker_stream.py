"""Frames on their way to a reader: whoever waits for a frame gets it, however little room those leave who do not."""

from __future__ import annotations

import asyncio
from unittest.mock import MagicMock

import numpy as np
import pytest

from atheria_server.core.errors import UnreadError
from atheria_server.core.infer import InferAnswer
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.engine.worker_stream import StreamEnd, WorkerStream

LIMIT_BYTES = 1 << 20


def frame(text_bytes: int = 0) -> InferAnswer:
    return InferAnswer(outputs={"text_output": np.array([b"x" * text_bytes], object)})


class Streams:
    """Those of a server."""

    def __init__(self) -> None:
        self.unread: UnreadFrames[WorkerStream] = UnreadFrames(LIMIT_BYTES)
        self.told_to_end: list[int] = []

    def add(self, work_id: int = 1) -> WorkerStream:
        return WorkerStream(work_id, MagicMock(), self.unread, lambda: self.told_to_end.append(work_id))


@pytest.fixture
def streams() -> Streams:
    return Streams()


async def reading(stream: WorkerStream) -> asyncio.Task[InferAnswer | StreamEnd]:
    """A reader that waits in `take`."""
    reader = asyncio.ensure_future(stream.take())
    await asyncio.sleep(0)
    return reader


async def test_a_whole_answer_beyond_the_bound_reaches_the_caller_that_waits_for_it(streams: Streams) -> None:
    stream, answer, end = streams.add(), frame(2 * LIMIT_BYTES), StreamEnd()
    reader = await reading(stream)
    stream.put(answer)
    stream.end(end)
    assert await reader is answer
    assert await stream.take() is end
    assert streams.unread.total_bytes == streams.unread.ended_total == 0
    assert streams.told_to_end == []


async def test_a_caller_that_waits_is_not_ended_for_the_many_that_read_nothing(streams: Streams) -> None:
    slow = [streams.add(work_id) for work_id in range(8)]
    for stream in slow:
        stream.put(frame(LIMIT_BYTES // 9))
    waiting = streams.add()
    reader = await reading(waiting)
    answer = frame(LIMIT_BYTES // 4)
    waiting.put(answer)
    assert await reader is answer
    assert streams.told_to_end == []


async def test_what_comes_behind_the_frame_that_was_waited_for_counts_until_it_is_taken(
    streams: Streams,
) -> None:
    stream, first, second = streams.add(), frame(), frame()
    reader = await reading(stream)
    stream.put(first)
    stream.put(second)
    assert streams.unread.total_bytes > 0
    assert await reader is first
    assert await stream.take() is second
    assert streams.unread.total_bytes == 0


async def test_a_stream_that_is_ended_for_what_waits_still_gives_the_frame_that_its_reader_waited_for(
    streams: Streams,
) -> None:
    stream, first = streams.add(), frame()
    reader = await reading(stream)
    stream.put(first)
    stream.put(frame(2 * LIMIT_BYTES))
    assert await reader is first
    end = await stream.take()
    assert isinstance(end, StreamEnd)
    assert isinstance(end.error, UnreadError)
    assert "1 frames were taken" in str(end.error)
    assert streams.told_to_end == [1]


async def test_a_reader_that_waits_learns_the_end(streams: Streams) -> None:
    stream, end = streams.add(), StreamEnd()
    reader = await reading(stream)
    stream.end(end)
    stream.end(StreamEnd())
    assert await reader is end
    assert await stream.take() is end


async def test_frames_that_come_when_a_reader_has_left_are_kept_for_nobody(streams: Streams) -> None:
    stream = streams.add()
    reader = await reading(stream)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    stream.put(frame())
    assert streams.unread.total_bytes > 0
    stream.leave()
    assert streams.unread.total_bytes == 0
