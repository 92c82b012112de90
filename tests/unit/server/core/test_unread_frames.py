"""Bytes of frames that nobody has read, and who ends when there are too many."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.infer import InferAnswer
from atheria_server.core.unread_frames import UnreadFrames, frame_bytes


def test_what_was_taken_makes_room_again() -> None:
    unread: UnreadFrames[str] = UnreadFrames(max_bytes=10)
    assert unread.add("a", 10) is None
    unread.take("a", 6)
    assert unread.total_bytes == 4
    assert unread.add("b", 6) is None
    unread.forget("a")
    assert unread.total_bytes == 6


def test_beyond_the_bound_the_stream_that_is_furthest_behind_ends_and_not_the_one_that_came_last() -> None:
    unread: UnreadFrames[str] = UnreadFrames(max_bytes=10)
    for stream, size in (("slow", 7), ("quick", 3)):
        assert unread.add(stream, size) is None
    assert unread.add("quick", 1) == "slow"
    assert unread.total_bytes == 4
    assert unread.ended_total == 1
    assert unread.add("slow", 1) is None


def test_without_a_bound_nobody_ends_and_all_is_counted() -> None:
    unread: UnreadFrames[str] = UnreadFrames(max_bytes=None)
    assert unread.add("a", 1 << 40) is None
    assert unread.total_bytes == 1 << 40


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "take", "forget"]), st.integers(1, 9)))
)
def test_what_waits_is_within_the_bound_and_counted_right_whatever_readers_do(
    steps: list[tuple[str, str, int]],
) -> None:
    unread: UnreadFrames[str] = UnreadFrames(max_bytes=20)
    waiting: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    for stream, step, size in steps:
        if step == "add":
            waiting[stream].append(size)
            if (ended := unread.add(stream, size)) is not None:
                assert sum(waiting[ended]) == max(map(sum, waiting.values()))
                waiting[ended] = []
        elif step == "take" and waiting[stream]:
            unread.take(stream, waiting[stream].pop(0))
        elif step == "forget":
            unread.forget(stream)
            waiting[stream] = []
        assert unread.total_bytes == sum(map(sum, waiting.values())) <= 20


def test_a_frame_takes_what_its_tensors_texts_and_body_take_and_something_for_itself() -> None:
    empty = frame_bytes(InferAnswer(outputs={}))
    assert empty > 0
    assert frame_bytes(InferAnswer(outputs={}, body=(b"12345",))) == empty + 5
    numbers = frame_bytes(InferAnswer(outputs={"tokens": np.zeros((1, 100), np.int64)}))
    assert numbers > empty + 800
    one, two = (
        InferAnswer(outputs={"text_output": np.array([b"x" * n], object)}, parameters={}) for n in (100, 300)
    )
    assert frame_bytes(two) == frame_bytes(one) + 200
    assert frame_bytes(InferAnswer(outputs={}, parameters={"finish_reason": "stop"})) > empty
