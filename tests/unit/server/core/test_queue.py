"""The bounded queue never exceeds its bounds and never loses or invents a call."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.queue import BoundedQueue, QueueFullError
from atheria_server.core.request import QueuedCall


def call(call_id: int, *, rows: int = 1, size: int = 10, bucket: str = "a") -> QueuedCall:
    return QueuedCall(call_id=call_id, bucket=bucket, rows=rows, size_bytes=size, arrived_at=float(call_id))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"), st.integers(0, 20), st.integers(1, 5), st.integers(0, 50), st.sampled_from("abc")
        ),
        st.tuples(st.just("remove"), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_the_queue_agrees_with_a_plain_dictionary_and_stays_within_its_bounds(
    operations: list[tuple],
) -> None:
    queue = BoundedQueue(max_rows=12, max_bytes=100)
    model: dict[int, QueuedCall] = {}
    for operation, call_id, *rest in operations:
        if operation == "remove":
            assert queue.remove(call_id) == model.pop(call_id, None)
        else:
            rows, size, bucket = rest
            added = call(call_id, rows=rows, size=size, bucket=bucket)
            fits = sum(c.rows for c in model.values()) + rows <= 12 and (
                not model or sum(c.size_bytes for c in model.values()) + size <= 100
            )
            if call_id in model:
                with pytest.raises(ValueError, match="already waiting"):
                    queue.add(added)
            elif fits:
                queue.add(added)
                model[call_id] = added
            else:
                with pytest.raises(QueueFullError):
                    queue.add(added)
        assert queue.rows == sum(c.rows for c in model.values()) <= 12
        assert queue.size_bytes == sum(c.size_bytes for c in model.values())
        assert len(queue) == len(model)
        assert {h.bucket: (h.rows, h.oldest_at) for h in queue.heads()} == {
            bucket: (
                sum(c.rows for c in model.values() if c.bucket == bucket),
                next(c.arrived_at for c in model.values() if c.bucket == bucket),
            )
            for bucket in {c.bucket for c in model.values()}
        }


def ids(calls: tuple[QueuedCall, ...]) -> list[int]:
    return [c.call_id for c in calls]


def test_a_bucket_gives_one_callers_calls_in_the_order_of_arrival() -> None:
    queue = BoundedQueue(max_rows=10, max_bytes=1000)
    for call_id in (3, 1, 2):
        queue.add(call(call_id))
    queue.remove(1)
    assert ids(queue.take_batch("a", 8)) == [3, 2]
    assert len(queue) == 0


def test_a_caller_with_many_calls_does_not_hold_up_another() -> None:
    queue = BoundedQueue(max_rows=100, max_bytes=1000)
    for call_id in range(10):
        queue.add(replace(call(call_id), caller="greedy"))
    queue.add(replace(call(10), caller="modest"))
    queue.add(replace(call(11), caller="modest"))
    assert ids(queue.take_batch("a", 4)) == [0, 10, 1, 11]
    queue.add(replace(call(12), caller="new"))
    assert 12 in ids(queue.take_batch("a", 2))


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 3)), min_size=1, max_size=60))
def test_callers_that_wait_get_rows_within_one_call_of_each_other(arrivals: list[tuple[str, int]]) -> None:
    queue = BoundedQueue(max_rows=1000, max_bytes=1000)
    left = dict.fromkeys("xyz", 0)
    for call_id, (caller, rows) in enumerate(arrivals):
        queue.add(replace(call(call_id, rows=rows, size=1), caller=caller))
        left[caller] += rows
    served = dict.fromkeys("xyz", 0)
    while all(left.values()):
        for taken in queue.take_batch("a", 1):
            served[taken.caller] += taken.rows
            left[taken.caller] -= taken.rows
        assert max(served.values()) - min(served.values()) <= 3


def test_a_higher_priority_goes_first_whatever_the_age() -> None:
    queue = BoundedQueue(max_rows=100, max_bytes=1000)
    for call_id, priority in enumerate((9, 5, 1, 5)):
        queue.add(replace(call(call_id), priority=priority))
    assert ids(queue.take_batch("a", 8)) == [2, 1, 3, 0]


def test_calls_that_left_from_behind_others_do_not_stay_in_memory() -> None:
    queue = BoundedQueue(max_rows=10, max_bytes=1000)
    queue.add(call(0))
    for call_id in range(1, 5000):
        queue.add(replace(call(call_id), priority=9, deadline_at=1e9, caller=str(call_id)))
        queue.remove(call_id)
    (bucket,) = queue._buckets.values()
    assert len(bucket.order) < 200
    assert len(queue._deadlines) < 200
    assert ids(queue.take_batch("a", 8)) == [0]


def test_a_call_that_is_put_back_is_accepted_by_a_full_queue() -> None:
    queue = BoundedQueue(max_rows=1, max_bytes=1000)
    queue.add(call(1))
    (taken,) = queue.take_batch("a", 1)
    queue.add(call(2))
    queue.put_back(taken)
    assert queue.rows == 2
    with pytest.raises(QueueFullError):
        queue.add(call(3))


def test_one_call_larger_than_the_byte_bound_passes_an_empty_queue() -> None:
    queue = BoundedQueue(max_rows=10, max_bytes=100)
    queue.add(call(1, size=500))
    with pytest.raises(QueueFullError, match="500 of 100 bytes"):
        queue.add(call(2, size=1))


def test_a_full_queue_says_how_full_it_is() -> None:
    queue = BoundedQueue(max_rows=4, max_bytes=100)
    queue.add(call(1, rows=3))
    with pytest.raises(QueueFullError, match="3 of 4 rows and the call has 2"):
        queue.add(call(2, rows=2))
