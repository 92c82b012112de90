"""Places of the running batch, with a worker as it is and readers that take frames when the test says so."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from atheria_contract.serving import ServingConfig
from atheria_server.core.batching import BatchPolicy
from atheria_server.core.errors import UnreadError, WorkerLostError
from atheria_server.core.infer import InferAnswer
from atheria_server.engine import memory
from atheria_server.engine.calls import described_call
from atheria_server.engine.engine import Engine
from atheria_server.engine.launch import WorkerSpec
from atheria_server.engine.limits import EngineLimits
from atheria_server.engine.process import WorkerProcess
from atheria_server.engine.setup import build

WAIT_SECONDS = 120.0
WORDS = 40
UNREAD_BYTES = 110_000
"""Of three texts of WORDS: a frame takes about 640, the last one with the boxes more."""
CONFIG = ServingConfig(name="m", source="builtin://sceneline", parameters={"places": 1, "threads": 1})


@asynccontextmanager
async def one_place() -> AsyncIterator[Engine]:
    worker = WorkerProcess(WorkerSpec(config=CONFIG, device="cpu"))

    async def no_warm_up(_: Any) -> None:
        """Nothing."""

    engine = Engine(
        limits=EngineLimits(
            batches=BatchPolicy(max_batch_size=1, max_latency_seconds=0.0),
            max_queue_rows=8,
            max_queue_bytes=1 << 30,
            max_streams=1,
            max_unread_streams=1,
            max_unread_bytes=UNREAD_BYTES,
        ),
        events=MagicMock(),
        warm_up=no_warm_up,
        workers=[worker],
    )
    running = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not engine.ready:
                await engine.ready_changed.wait()
                engine.ready_changed.clear()
            yield engine
    finally:
        await engine.stop(at_once=True)
        await running


def text(engine: Engine, seed: int, length: int = WORDS) -> AsyncGenerator[InferAnswer]:
    picture = np.random.default_rng(seed).integers(0, 256, (1, 64, 64, 3), np.uint8)
    valid = build(CONFIG).main.validate(
        {"image": picture}, {"max_new_tokens": length, "ignore_end": True}, streaming=True
    )
    return engine.stream(described_call(valid, (), streaming=True), None)


async def taken(frames: AsyncGenerator[InferAnswer]) -> list[InferAnswer]:
    return [frame async for frame in frames]


def words(*frames: InferAnswer) -> int:
    return sum(frame.outputs["tokens"].shape[1] for frame in frames)


async def rest(frames: AsyncGenerator[InferAnswer]) -> list[InferAnswer]:
    return [frame async for frame in frames]


async def all_are_made(engine: Engine) -> None:
    (worker,) = (slot.worker for slot in engine.crew.slots)
    while worker.streams_in_flight:  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.001)


async def a_finished_text_that_nobody_reads_gives_its_place_to_the_next(engine: Engine) -> None:
    unread, other = text(engine, 1), text(engine, 2)
    first = await anext(unread)
    assert words(*await rest(other)) == WORDS
    assert words(first, *await rest(unread)) == WORDS


async def more_than_places_that_nobody_reads_hold_the_next_up_until_one_is_read(engine: Engine) -> None:
    unread = [text(engine, 1), text(engine, 2)]
    firsts = [await anext(frames) for frames in unread]
    third = text(engine, 3)
    began = asyncio.ensure_future(anext(third))
    await all_are_made(engine)
    for _ in range(1000):
        await asyncio.sleep(0)
    assert not began.done()
    assert engine.queue_depth == 1
    assert words(firsts[0], *await rest(unread[0])) == WORDS
    assert words(await began, *await rest(third)) == WORDS
    assert words(firsts[1], *await rest(unread[1])) == WORDS


async def a_text_that_nobody_reads_ends_with_an_error_that_says_so_when_there_is_no_room_for_another(
    engine: Engine,
) -> None:
    long, short = text(engine, 1, length=140), text(engine, 2, length=60)
    await anext(long)
    first = await anext(short)
    await all_are_made(engine)
    assert engine.unread.ended_total == 1
    with pytest.raises(UnreadError, match=r"1 frames were taken, \d+ with \d+ bytes waited.*110000 bytes"):
        await anext(long)
    assert words(first, *await rest(short)) == 60
    assert engine.unread.total_bytes == 0


async def whoever_leaves_without_reading_holds_nobody_up(engine: Engine) -> None:
    for seed in (1, 2, 3):
        leaving = text(engine, seed)
        await anext(leaving)
        await leaving.aclose()
    assert words(*await rest(text(engine, 4))) == WORDS


async def test_texts_that_nobody_reads_take_no_place_from_others_as_long_as_they_are_few() -> None:
    async with one_place() as engine, asyncio.timeout(WAIT_SECONDS):
        await a_finished_text_that_nobody_reads_gives_its_place_to_the_next(engine)
        await more_than_places_that_nobody_reads_hold_the_next_up_until_one_is_read(engine)
        await a_text_that_nobody_reads_ends_with_an_error_that_says_so_when_there_is_no_room_for_another(
            engine
        )
        await whoever_leaves_without_reading_holds_nobody_up(engine)
        assert engine.unread.total_bytes == 0


async def test_a_message_that_cannot_be_received_ends_the_worker_and_its_texts_and_the_next_one_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the process may open no more files: nobody waits for what was lost."""
    receive = memory.receive

    def once(*arguments: Any) -> Any:
        monkeypatch.setattr(memory, "receive", receive)
        raise OSError(errno.EMFILE, "no file handle is left")

    async with one_place() as engine:
        frames = text(engine, 1)
        await anext(frames)
        monkeypatch.setattr(memory, "receive", once)
        with pytest.raises(WorkerLostError):
            await asyncio.wait_for(taken(frames), WAIT_SECONDS)
        async with asyncio.timeout(WAIT_SECONDS):
            while not engine.ready:
                await engine.ready_changed.wait()
                engine.ready_changed.clear()
            assert words(*await taken(text(engine, 2))) == WORDS
