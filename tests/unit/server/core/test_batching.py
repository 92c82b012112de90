"""The batching decision: pure, so every rule can be checked against arbitrary queues."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.batching import BatchPolicy, Capacity, decide
from atheria_server.core.queue import BoundedQueue
from atheria_server.core.request import QueuedCall

POLICY = BatchPolicy(max_batch_size=8, max_latency_seconds=0.05)
NONE = Capacity(idle_workers=0, ahead_slots=0, stream_slots=0)
IDLE = Capacity(idle_workers=1, ahead_slots=1, stream_slots=8)
BUSY = Capacity(idle_workers=0, ahead_slots=1, stream_slots=8)


def queue_of(*calls: QueuedCall) -> BoundedQueue:
    queue = BoundedQueue(max_rows=10_000, max_bytes=10**9)
    for call in calls:
        queue.add(call)
    return queue


def call(call_id: int, **fields: object) -> QueuedCall:
    defaults = {"bucket": "a", "rows": 1, "size_bytes": 1, "arrived_at": 0.0}
    return QueuedCall(call_id=call_id, **{**defaults, **fields})  # type: ignore[arg-type]


def expired(call: QueuedCall, now: float) -> bool:
    return call.deadline_at is not None and now >= call.deadline_at


CALLS = st.lists(
    st.builds(
        lambda bucket, rows, age, deadline, streaming, priority, caller: {
            "priority": priority,
            "caller": caller,
            "bucket": bucket,
            "rows": rows,
            "arrived_at": age,
            "deadline_at": deadline,
            "streaming": streaming,
        },
        st.sampled_from("abc"),
        st.integers(1, 12),
        st.floats(0, 1),
        st.none() | st.floats(0, 2),
        st.booleans(),
        st.integers(1, 9),
        st.sampled_from(("", "x", "y")),
    ),
    max_size=30,
).map(
    lambda rows: [
        call(i, **fields) for i, fields in enumerate(sorted(rows, key=lambda row: row["arrived_at"]))
    ]
)
CAPACITIES = st.builds(
    Capacity, idle_workers=st.integers(0, 3), ahead_slots=st.integers(0, 3), stream_slots=st.integers(0, 3)
)


@given(CALLS, CAPACITIES, st.floats(0, 2))
def test_every_decision_keeps_the_rules(calls: list[QueuedCall], capacity: Capacity, now: float) -> None:
    queue = queue_of(*calls)
    decision = decide(queue, POLICY, now, capacity)
    batched = [c for batch in decision.batches for c in batch]
    touched = [*batched, *decision.streams, *decision.expired]
    assert len({c.call_id for c in touched}) == len(touched)
    assert len(queue) == len(calls) - len(touched)
    assert len(decision.batches) <= capacity.idle_workers + capacity.ahead_slots
    assert len(decision.streams) <= capacity.stream_slots
    for batch in decision.batches:
        assert batch
        assert len({c.bucket for c in batch}) == 1
        assert len(batch) == 1 or sum(c.rows for c in batch) <= POLICY.max_batch_size
    assert not any(c.streaming for c in batched)
    assert all(c.streaming for c in decision.streams)
    assert {c.call_id for c in decision.expired} == {c.call_id for c in calls if expired(c, now)}
    left = [c for c in calls if not c.streaming and not expired(c, now)]
    for index, batch in enumerate(decision.batches):
        bucket = [c for c in left if c.bucket == batch[0].bucket]
        if index >= capacity.idle_workers:
            full = sum(c.rows for c in bucket) >= POLICY.max_batch_size
            # The oldest is the one that was added first: in service arrivals only grow.
            assert full or now >= bucket[0].arrived_at + POLICY.max_latency_seconds
        left = [c for c in left if c not in batch]


@given(CALLS, st.floats(0, 2))
def test_an_idle_worker_is_never_left_without_work(calls: list[QueuedCall], now: float) -> None:
    decision = decide(queue_of(*calls), POLICY, now, IDLE)
    waiting = [c for c in calls if not c.streaming and not expired(c, now)]
    assert bool(decision.batches) == bool(waiting)


@given(CALLS, CAPACITIES, st.floats(0, 2))
def test_the_next_look_is_never_in_the_past(calls: list[QueuedCall], capacity: Capacity, now: float) -> None:
    wake_at = decide(queue_of(*calls), POLICY, now, capacity).wake_at
    assert wake_at is None or wake_at > now


def test_a_lone_call_goes_at_once_when_a_worker_is_idle() -> None:
    assert decide(queue_of(call(1)), POLICY, 0.0, IDLE).batches == ((call(1),),)


def test_a_lone_call_waits_for_company_while_the_worker_is_busy_and_then_is_sent_ahead() -> None:
    queue = queue_of(call(1))
    early = decide(queue, POLICY, 0.0, BUSY)
    assert early.batches == ()
    assert early.wake_at == 0.05
    assert decide(queue, POLICY, 0.05, BUSY).batches == ((call(1),),)


def test_a_full_batch_is_sent_ahead_without_waiting() -> None:
    calls = [call(i) for i in range(9)]
    assert decide(queue_of(*calls), POLICY, 0.0, BUSY).batches == (tuple(calls[:8]),)


def test_the_oldest_bucket_goes_first() -> None:
    old, young = call(2, bucket="b", arrived_at=1.0), call(1, arrived_at=2.0)
    assert decide(queue_of(old, young), POLICY, 3.0, IDLE).batches[0] == (old,)


def test_a_call_larger_than_a_batch_is_computed_alone() -> None:
    large, small = call(1, rows=20), call(2)
    assert decide(queue_of(large, small), POLICY, 0.0, IDLE).batches[0] == (large,)


def test_an_expired_call_is_dropped_and_a_later_deadline_is_the_next_look() -> None:
    late, alive = call(1, deadline_at=1.0), call(2, deadline_at=5.0)
    decision = decide(queue_of(late, alive), POLICY, 1.0, NONE)
    assert decision.expired == (late,)
    assert decision.wake_at == 5.0


def test_a_batch_holds_no_more_rows_than_the_device_was_found_to_hold() -> None:
    capacity = Capacity(idle_workers=1, ahead_slots=0, stream_slots=0, rows_that_fit={"a": 2})
    calls = [call(i) for i in range(4)]
    assert decide(queue_of(*calls), POLICY, 0.0, capacity).batches == (tuple(calls[:2]),)


def test_streams_start_in_their_order_and_never_beyond_the_slots() -> None:
    streams = [call(i, streaming=True, bucket=i, arrived_at=float(i)) for i in range(3)]
    capacity = Capacity(idle_workers=1, ahead_slots=1, stream_slots=2)
    decision = decide(queue_of(*streams), POLICY, 0.0, capacity)
    assert decision.streams == (streams[0], streams[1])
    assert decision.batches == ()
