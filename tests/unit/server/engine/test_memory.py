"""Tensors cross the socket as files of memory: everything arrives as it was sent."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from atheria_server.engine import memory


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
    writer.send(pair[0], memory.RUN, 7, {"specs": specs, "note": "ü"})
    writer.close()
    message = memory.receive(pair[1])
    assert message is not None
    assert (message.kind, message.work_id, message.body["note"]) == (memory.RUN, 7, "ü")
    got = message.arrays(message.body["specs"])
    assert list(got) == list(sent)
    for name, array in sent.items():
        expected = array if name != "str" else np.array([b"ab", b"c"], dtype=object)
        np.testing.assert_array_equal(got[name], expected)
        assert got[name].shape == expected.shape


def test_views_keep_the_memory_alive_after_the_message_is_gone(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    writer = memory.BodyWriter()
    specs = writer.add_all({"x": np.arange(1000)})
    writer.send(pair[0], memory.RUN, 1, {"specs": specs})
    writer.close()
    message = memory.receive(pair[1])
    assert message is not None
    x = message.arrays(message.body["specs"])["x"]
    del message
    assert x.sum() == 499500


def test_the_end_of_the_other_side_is_none(pair: tuple[socket.socket, socket.socket]) -> None:
    memory.send_short(pair[0], memory.CREDIT, 3)
    pair[0].close()
    message = memory.receive(pair[1])
    assert message is not None
    assert (message.kind, message.work_id, message.body) == (memory.CREDIT, 3, {})
    assert memory.receive(pair[1]) is None
