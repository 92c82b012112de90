"""The worker's loop, driven over its socket in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from atheria_server.engine import memory
from atheria_server.engine.buffers import BufferPool, BufferViews
from atheria_server.engine.worker import FRAMES_AHEAD, Worker
from atheria_server.models.contract import Batch, Frame


class Counter:
    """A described model that notes what it was asked."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.fits = 100
        self.rows: list[int] = []

    def predict(self, batch: Batch) -> dict[str, Any]:
        x = batch.inputs["x"]
        self.rows.append(batch.rows)
        if batch.rows > self.fits:
            raise MemoryError
        return {"y": x + 1, "z": np.zeros(1) if "short" in batch.parameters else x}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        try:
            for step in range(1, 1000):
                parameters = {"step": object() if "odd" in batch.parameters else np.int64(step)}
                yield Frame(outputs={"y": batch.inputs["x"]}, parameters=parameters)
        finally:
            self.closed.set()


class Front:
    """The other end."""

    def __init__(self, sock: socket.socket, worker: threading.Thread) -> None:
        self.sock = sock
        self.worker = worker
        self.pool = BufferPool()
        self.views = BufferViews()

    def send(self, kind: int, work_id: int, wanted: list[str] | None = None, **parameters: Any) -> None:
        writer = memory.BodyWriter()
        entry = {
            "tensors": [writer.add("x", [np.zeros((1, 2)), np.ones((2, 2))])],
            "parameters": parameters,
            "rows": 3,
        }
        writer.seal(self.pool, kind, work_id, {"entries": [entry], "wanted": wanted}).post(self.sock)

    def take(self) -> memory.Message:
        if self.worker.ident is None:
            self.worker.start()
        message = memory.receive(self.sock, self.views)
        assert message is not None
        return message


@pytest.fixture
def model() -> Counter:
    return Counter()


@pytest.fixture
def front(model: Counter) -> Iterator[Front]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(30)
    worker = Worker(model, theirs, BufferViews(), BufferPool(), described=True)
    thread = threading.Thread(target=worker.run)
    yield Front(ours, thread)
    ours.close()
    thread.join(30)
    theirs.close()
    assert not thread.is_alive()


def test_the_parts_of_a_batch_are_one_array_and_only_wanted_outputs_come_back(front: Front) -> None:
    front.send(memory.RUN, 5, wanted=["y"])
    message = front.take()
    assert (message.kind, message.work_id) == (memory.DONE, 5)
    outputs = message.arrays(message.body["outputs"])
    assert list(outputs) == ["y"]
    assert outputs["y"].tolist() == [[1, 1], [2, 2], [2, 2]]
    assert not outputs["y"].flags.writeable


def test_an_output_without_one_entry_a_row_is_a_failure_that_names_it(front: Front) -> None:
    front.send(memory.RUN, 1, short=True)
    code, text = front.take().body["error"]
    assert code == "INTERNAL"
    assert "'z' has shape [1]" in text


def test_a_batch_that_memory_does_not_hold_is_computed_in_halves_and_the_size_is_learned(
    front: Front, model: Counter
) -> None:
    model.fits = 1
    front.send(memory.RUN, 1)
    message = front.take()
    assert message.arrays(message.body["outputs"])["y"].tolist() == [[1, 1], [2, 2], [2, 2]]
    assert message.body["rows_that_fit"] == 1
    assert model.rows == [3, 2, 1, 1, 1]


def test_a_row_that_memory_does_not_hold_is_a_failure_and_the_worker_lives(
    front: Front, model: Counter
) -> None:
    model.fits = 0
    front.send(memory.RUN, 1)
    assert front.take().body["error"][0] == "INTERNAL"
    model.fits = 100
    front.send(memory.RUN, 2)
    assert front.take().body["rows_that_fit"] is None


def test_an_answers_buffer_is_used_again_once_the_front_has_read_it(front: Front) -> None:
    buffers = []
    for work_id in range(1, 6):
        front.send(memory.RUN, work_id)
        message = front.take()
        buffers.append(message.buffer_id)
        memory.send_short(front.sock, memory.FREE, message.buffer_id)
    assert len(set(buffers)) == 1


def test_a_stream_runs_ahead_of_its_reader_only_by_its_credit(front: Front) -> None:
    front.send(memory.STREAM, 1)
    steps = [front.take().body["parameters"]["step"] for _ in range(FRAMES_AHEAD)]
    assert steps == list(range(1, FRAMES_AHEAD + 1))
    front.send(memory.RUN, 2)
    assert front.take().kind == memory.DONE
    memory.send_short(front.sock, memory.CREDIT, 1)
    front_frame = front.take()
    assert front_frame.body["parameters"]["step"] == FRAMES_AHEAD + 1
    front.send(memory.RUN, 3)
    assert front.take().work_id == 3


def test_batches_and_frames_take_turns_however_many_wait(front: Front) -> None:
    front.send(memory.STREAM, 1)
    for work_id in range(2, 6):
        front.send(memory.RUN, work_id)
    kinds = [front.take().kind for _ in range(8)]
    assert kinds == [memory.DONE, memory.FRAME] * 4


def test_an_answer_that_cannot_be_written_is_a_failure_and_the_worker_lives(front: Front) -> None:
    front.send(memory.STREAM, 1, odd=True)
    message = front.take()
    assert message.kind == memory.DONE
    assert "neither a tensor nor JSON" in message.body["error"][1]
    front.send(memory.RUN, 2)
    assert front.take().work_id == 2


def test_frames_that_cannot_be_sent_are_closed(front: Front, model: Counter) -> None:
    """Those of a running batch are no generator: they hold their cache until somebody says so."""

    class Held:
        def __iter__(self) -> Held:
            return self

        def __next__(self) -> Frame:
            return Frame(outputs={}, parameters={"step": object()})

        def close(self) -> None:
            model.closed.set()

    held = Held()
    model.stream_frames = lambda _: held
    front.send(memory.STREAM, 1)
    assert front.take().kind == memory.DONE
    assert model.closed.wait(30)


def test_a_cancelled_stream_is_closed(front: Front, model: Counter) -> None:
    front.send(memory.STREAM, 1)
    front.take()
    memory.send_short(front.sock, memory.CANCEL, 1)
    assert model.closed.wait(30)


def test_credit_and_cancel_for_a_stream_that_has_ended_are_ignored(front: Front) -> None:
    memory.send_short(front.sock, memory.CREDIT, 9)
    memory.send_short(front.sock, memory.CANCEL, 9)
    front.send(memory.RUN, 2)
    assert front.take().work_id == 2
