"""Tensors cross the socket as files of memory: everything arrives as it was sent."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from atheria_server.engine import memory
from atheria_server.engine.buffers import BufferPool, BufferViews


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_arrays_of_every_kind_arrive_as_they_were_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    sent = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3),
        "scalar": np.array(3, np.int64),
        "empty": np.zeros((0, 4), np.float16),
        "strided": np.arange(8.0)[::2],
        "bool": np.array([True, False]),
        "text": np.array([b"a", b"", b"xyz"], dtype=object),
        "str": np.array(["ab", "c"]),
    }
    writer = memory.BodyWriter()
    specs = writer.add_all(sent)
    writer.seal(BufferPool(), memory.RUN, 7, {"specs": specs, "note": "ü"}).post(pair[0])
    message = memory.receive(pair[1], BufferViews())
    assert message is not None
    assert (message.kind, message.work_id, message.body["note"]) == (memory.RUN, 7, "ü")
    got = message.arrays(message.body["specs"])
    assert list(got) == list(sent)
    for name, array in sent.items():
        expected = array if name != "str" else np.array([b"ab", b"c"], dtype=object)
        np.testing.assert_array_equal(got[name], expected)
        assert got[name].shape == expected.shape


def test_byte_strings_lie_beside_the_tensors(pair: tuple[socket.socket, socket.socket]) -> None:
    sent = (b"", b"\x00\xff", b"x" * 1_000_000)
    writer = memory.BodyWriter()
    spec = writer.add("x", [np.arange(3)])
    places = writer.add_parts(sent)
    writer.seal(BufferPool(), memory.RUN, 1, {"places": places}).post(pair[0])
    message = memory.receive(pair[1], BufferViews())
    assert message is not None
    assert message.parts(message.body["places"]) == sent
    assert message.arrays([spec])["x"].tolist() == [0, 1, 2]


def test_parts_are_joined_along_their_rows(pair: tuple[socket.socket, socket.socket]) -> None:
    writer = memory.BodyWriter()
    parts = [np.arange(4.0).reshape(1, 4), np.arange(8.0).reshape(4, 2).T, np.zeros((0, 4))]
    spec = writer.add("x", parts)
    writer.seal(BufferPool(), memory.RUN, 1, {}).post(pair[0])
    message = memory.receive(pair[1], BufferViews())
    assert message is not None
    np.testing.assert_array_equal(message.arrays([spec])["x"], np.concatenate(parts))


def test_copies_outlive_the_buffer_that_is_written_again(pair: tuple[socket.socket, socket.socket]) -> None:
    pool, views = BufferPool(), BufferViews()

    def exchange(value: float) -> memory.Message:
        writer = memory.BodyWriter()
        specs = writer.add_all({"x": np.full(1000, value)})
        writer.seal(pool, memory.RUN, 1, {"specs": specs}).post(pair[0])
        message = memory.receive(pair[1], views)
        assert message is not None
        return message

    first = exchange(1.0)
    copy, view = first.copies(first.body["specs"])["x"], first.arrays(first.body["specs"])["x"]
    pool.take_back(first.buffer_id)
    second = exchange(2.0)
    assert second.buffer_id == first.buffer_id
    assert (copy == 1).all()
    assert (view == 2).all()
    assert pool.made_total == 1


def test_a_body_that_is_not_json_is_refused_and_its_buffer_is_free_again() -> None:
    pool = BufferPool()
    with pytest.raises(TypeError):
        memory.BodyWriter().seal(pool, memory.RUN, 1, {"odd": object()})
    assert pool.lent_count == 0


def test_a_message_whose_buffer_finds_no_file_handle_says_so(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    memory.BodyWriter().seal(BufferPool(), memory.RUN, 7, {}).post(pair[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(pair[0].fileno())
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match="no file handle") as failed:
            memory.receive(pair[1], BufferViews())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert failed.value.errno == errno.EMFILE


def test_the_end_of_the_other_side_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    memory.send_short(pair[0], memory.CREDIT, 3)
    pair[0].close()
    views = BufferViews()
    message = memory.receive(pair[1], views)
    assert message is not None
    assert (message.kind, message.work_id, message.body) == (memory.CREDIT, 3, {})
    assert memory.receive(pair[1], views) is None
