"""Frames between a model and a viewer that is slower."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from atheria_server.core.errors import FailedError
from atheria_server.core.infer import InferAnswer
from atheria_server.transport.frame_buffer import FrameBuffer


def frame(index: int) -> InferAnswer:
    return InferAnswer(outputs={"x": np.zeros(1)}, index=index)


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 10))


async def taken(buffer: FrameBuffer) -> list[int]:
    found = []
    while (item := await buffer.take()) is not None:
        found.append(item.index)
    return found


def test_a_viewer_that_reads_nothing_never_holds_the_writer_and_keeps_the_newest() -> None:
    async def work() -> None:
        buffer = FrameBuffer(4)
        for index in range(100):
            await buffer.put(frame(index))
        await buffer.end(None)
        assert buffer.dropped == 96
        assert await taken(buffer) == [96, 97, 98, 99]

    run(work())


def test_a_viewer_that_asked_for_every_frame_gets_it_and_the_writer_waits() -> None:
    async def work() -> None:
        buffer = FrameBuffer(2, wait=True)

        async def write() -> None:
            for index in range(50):
                await buffer.put(frame(index))
            await buffer.end(None)

        writer = asyncio.create_task(write())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writer.done()
        assert await taken(buffer) == list(range(50))
        assert buffer.dropped == 0
        await writer

    run(work())


def test_an_error_comes_after_the_frames_before_it() -> None:
    async def work() -> None:
        buffer = FrameBuffer(4)
        await buffer.put(frame(0))
        await buffer.end(FailedError("broken"))
        first = await buffer.take()
        assert first is not None
        assert first.index == 0
        with pytest.raises(FailedError, match="broken"):
            await buffer.take()

    run(work())


def test_a_reader_that_waits_is_woken_by_the_end() -> None:
    async def work() -> None:
        buffer = FrameBuffer()
        reader = asyncio.create_task(buffer.take())
        await asyncio.sleep(0)
        await buffer.end(None)
        assert await reader is None

    run(work())
