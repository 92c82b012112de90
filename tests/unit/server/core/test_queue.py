"""The bounded queue never exceeds its bounds and never loses or invents a call."""

from __future__ import annotations

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
        assert {c.call_id: b for b, calls in queue.buckets() for c in calls} == {
            i: c.bucket for i, c in model.items()
        }


def test_a_bucket_gives_its_calls_in_the_order_of_arrival() -> None:
    queue = BoundedQueue(max_rows=10, max_bytes=1000)
    for call_id in (3, 1, 2):
        queue.add(call(call_id))
    queue.remove(1)
    assert [[c.call_id for c in calls] for _, calls in queue.buckets()] == [[3, 2]]


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
