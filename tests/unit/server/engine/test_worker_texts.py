"""The worker's loop with a running batch of texts: whoever takes no frames holds nobody up and misses nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from atheria_server.engine import memory
from atheria_server.engine.buffers import Buffer, BufferPool, BufferViews
from atheria_server.engine.worker import FRAMES_AHEAD, Worker
from atheria_server.optimize.loaded import LoadedModel, load_model

WORDS = 40
SLOW, QUICK = 1, 2


@pytest.fixture
def model() -> Iterator[LoadedModel]:
    before = torch.get_num_threads()
    yield load_model("builtin://sceneline", {"threads": 1})
    torch.set_num_threads(before)


class Front:
    def __init__(self, sock: socket.socket, worker_pool: BufferPool) -> None:
        self.sock, self.pool, self.views = sock, BufferPool(), BufferViews()
        self.worker_pool = worker_pool
        self._used_up: deque[int] = deque()
        self._at_once = sock.dup()
        self._at_once.setblocking(False)

    def stream(self, api: Any, work_id: int, *, streaming: bool) -> None:
        picture = np.random.default_rng(work_id).integers(0, 256, (1, 64, 64, 3), np.uint8)
        valid = api.validate(
            {"image": picture}, {"max_new_tokens": WORDS, "ignore_end": True}, streaming=streaming
        )
        writer = memory.BodyWriter()
        tensors = [writer.add(name, [np.asarray(value)]) for name, value in valid.inputs.items()]
        entry = {"tensors": tensors, "parameters": dict(valid.parameters), "rows": 1}
        body = {"entries": [entry], "wanted": None}
        writer.seal(self.pool, memory.STREAM, work_id, body).post(self.sock)

    def take(self) -> memory.Message:
        """Reports are not asked for here."""
        while True:
            message = memory.receive(self.sock, self.views)
            assert message is not None
            if message.kind != memory.REPORT:
                return message

    def free(self, message: memory.Message) -> None:
        """Give its buffer back, now or when the worker reads again."""
        if message.buffer_id:
            self._used_up.append(message.buffer_id)
        with contextlib.suppress(BlockingIOError):
            while self._used_up:
                memory.send_short(self._at_once, memory.FREE, self._used_up[0])
                self._used_up.popleft()

    def close(self) -> None:
        self._at_once.close()
        self.sock.close()


@pytest.fixture
def front(model: LoadedModel) -> Iterator[Front]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(120)
    # The worker is never far ahead of who reads: a few messages fill it.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    pool = BufferPool()
    thread = threading.Thread(target=Worker(model.api, theirs, BufferViews(), pool, described=True).run)
    thread.start()
    front = Front(ours, pool)
    yield front
    front.close()
    thread.join(120)
    theirs.close()
    assert not thread.is_alive()


def test_a_reader_that_takes_nothing_holds_nobody_up_and_gets_every_word_once_all_are_made(
    front: Front, model: LoadedModel
) -> None:
    front.stream(model.api, SLOW, streaming=True)
    taken = [front.take() for _ in range(FRAMES_AHEAD)]
    front.stream(model.api, QUICK, streaming=False)
    while sum(one.kind == memory.DONE for one in taken) < 2:
        taken.append(front.take())
    answer, end = (one for one in taken if one.work_id == QUICK)
    assert (answer.kind, end.kind) == (memory.FRAME, memory.DONE)
    assert answer.arrays(answer.body["outputs"])["tokens"].shape == (1, WORDS)
    # Without a credit: its place is free for another.
    *slow, last = (one for one in taken if one.work_id == SLOW)
    tokens = [frame.arrays(frame.body["outputs"])["tokens"].shape[1] for frame in slow]
    assert len(tokens) > FRAMES_AHEAD
    assert sum(tokens) == WORDS
    assert last.body == {}
    assert not model.api.has_work


def test_what_is_made_of_a_text_is_with_the_front_before_more_is_made_although_nobody_reads_it(
    front: Front, model: LoadedModel
) -> None:
    """The front's bound of bytes sees all of it then, however many tokens a step makes."""
    turns, go_on, step = 10, threading.Event(), model.api.step
    made: list[int] = []

    def two_steps() -> None:
        if len(made) == turns:
            assert go_on.wait(120)
        made.append(2)
        step()
        step()

    model.api.step = two_steps
    front.stream(model.api, SLOW, streaming=True)
    frames = [front.take() for _ in range(max(turns, FRAMES_AHEAD) + 2)]
    assert {one.kind for one in frames} == {memory.FRAME}
    assert len(made) <= turns
    go_on.set()
    while (message := front.take()).kind != memory.DONE:
        frames.append(message)
    assert sum(one.arrays(one.body["outputs"])["tokens"].shape[1] for one in frames) == WORDS


def test_a_step_that_makes_many_frames_takes_buffers_again_that_the_front_has_read(
    front: Front, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lent buffer costs a file handle at both ends, of which a process has few."""
    texts, go_on, step, lend = 16, threading.Event(), model.api.step, front.worker_pool.lend
    lent: list[int] = []

    def to_the_end() -> None:
        assert go_on.wait(120)
        while model.api.has_work:
            step()

    def counted(size_bytes: int) -> Buffer:
        buffer = lend(size_bytes)
        lent.append(front.worker_pool.lent_count)
        return buffer

    monkeypatch.setattr(front.worker_pool, "lend", counted)
    model.api.step = to_the_end
    for work_id in range(1, texts + 1):
        front.stream(model.api, work_id, streaming=True)
    go_on.set()
    ends = 0
    while ends < texts:
        message = front.take()
        ends += message.kind == memory.DONE
        front.free(message)
    assert len(lent) > texts * WORDS // 2
    assert max(lent) <= 4 * texts
