"""Shared buffers are used again, never while their reader has them, and never kept without bound."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.engine.buffers import KEPT_BYTES, SMALLEST_BYTES, BufferPool, BufferViews


@pytest.fixture
def pool() -> Iterator[BufferPool]:
    pool = BufferPool()
    yield pool
    pool.close()


def test_a_buffer_that_came_back_is_lent_again(pool: BufferPool) -> None:
    first = pool.lend(1000)
    pool.take_back(first.buffer_id)
    assert pool.lend(SMALLEST_BYTES) is first
    assert pool.lend(1) is not first
    assert pool.made_total == 2


def test_the_smallest_buffer_that_holds_the_message_is_taken(pool: BufferPool) -> None:
    large, small = pool.lend(10 * SMALLEST_BYTES), pool.lend(1)
    pool.take_back(large.buffer_id)
    pool.take_back(small.buffer_id)
    assert pool.lend(1) is small
    assert pool.lend(2 * SMALLEST_BYTES) is large


def test_buffers_beyond_the_sum_to_keep_are_given_up_and_named(pool: BufferPool) -> None:
    kept, dropped = pool.lend(KEPT_BYTES), pool.lend(1)
    assert pool.take_back(kept.buffer_id) is None
    assert pool.take_back(dropped.buffer_id) == dropped.buffer_id
    assert dropped.map.closed
    assert pool.take_back(dropped.buffer_id) is None


@given(st.lists(st.one_of(st.integers(1, 5 * SMALLEST_BYTES), st.none()), max_size=40))
def test_no_buffer_is_lent_twice_and_each_holds_what_was_asked(sizes: list[int | None]) -> None:
    pool = BufferPool()
    lent: list[int] = []
    for size in sizes:
        if size is None:
            if lent:
                pool.take_back(lent.pop(0))
            continue
        buffer = pool.lend(size)
        assert buffer.size_bytes >= size
        assert buffer.buffer_id not in lent
        lent.append(buffer.buffer_id)
    assert pool.lent_count == len(lent)
    pool.close()


def test_a_reader_sees_what_is_written_and_cannot_write(pool: BufferPool) -> None:
    buffer, views = pool.lend(100), BufferViews()
    views.add(buffer.buffer_id, os.dup(buffer.fd))
    buffer.map[:5] = b"hello"
    view = views.view(buffer.buffer_id)
    assert view[:5] == b"hello"
    with pytest.raises(TypeError):
        view[0] = 1
    views.forget(buffer.buffer_id)
    assert view[:5] == b"hello"
    with pytest.raises(KeyError):
        views.view(buffer.buffer_id)
