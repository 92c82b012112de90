from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.models.text.scheduling import (
    RunningSequence,
    SchedulePolicy,
    WaitingSequence,
    admissible,
    count_passes,
    padded_width,
    plan_step,
)

POLICY = SchedulePolicy(cache_bytes=100, places=4, prompt_tokens_per_step=16, passes_max=3)


@dataclass
class Simulated:
    """A text as the generator would carry it."""

    cache_bytes: int
    prompt: int
    new: int
    passed: int = 0
    length: int = 0

    @property
    def prompt_left(self) -> int:
        return max(0, self.prompt - self.length)


TEXTS = st.lists(
    st.tuples(
        st.builds(
            Simulated,
            cache_bytes=st.integers(1, 100),
            prompt=st.integers(1, 60),
            new=st.integers(1, 8),
        ),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=40,
)


@given(
    texts=TEXTS,
    places=st.integers(1, 6),
    tokens=st.integers(2, 40),
    passes_max=st.integers(0, 5),
)
def test_every_text_enters_and_ends_once_within_the_budget_and_few_are_passed_often(
    texts: list[tuple[Simulated, int]], places: int, tokens: int, passes_max: int
) -> None:
    policy = replace(POLICY, places=places, prompt_tokens_per_step=tokens, passes_max=passes_max)
    arrivals = sorted(enumerate(texts), key=lambda item: item[1][1])
    waiting: dict[int, Simulated] = {}
    running: dict[int, Simulated] = {}
    ended: list[int] = []
    step = 0
    while arrivals or waiting or running:
        step += 1
        assert step < 20_000
        while arrivals and arrivals[0][1][1] <= step:
            number, (text, _) = arrivals.pop(0)
            waiting[number] = text
        used = sum(text.cache_bytes for text in running.values())
        queue = [
            WaitingSequence(sequence_id=number, cache_bytes=text.cache_bytes, passed=text.passed)
            for number, text in waiting.items()
        ]
        entered = admissible(queue, policy, running=len(running), used_bytes=used)
        for number, times in count_passes(queue, entered).items():
            waiting[number].passed += times
            assert waiting[number].passed <= passes_max + len(texts)
        for number in entered:
            running[number] = waiting.pop(number)
        assert sum(text.cache_bytes for text in running.values()) <= policy.cache_bytes
        assert len(running) <= places
        assert running or not waiting
        _step(running, policy)
        for number, text in list(running.items()):
            if text.length >= text.prompt + text.new - 1:
                ended.append(number)
                del running[number]
    assert sorted(ended) == list(range(len(texts)))


def _step(running: dict[int, Simulated], policy: SchedulePolicy) -> None:
    plan = plan_step(
        [
            RunningSequence(sequence_id=number, prompt_left=text.prompt_left, length=text.length)
            for number, text in running.items()
        ],
        policy,
    )
    planned = [number for one in plan for number, _ in one.rows]
    assert len(planned) == len(set(planned))
    assert {number for number, text in running.items() if not text.prompt_left} <= set(planned)
    read = 0
    for one in plan:
        for number, new in one.rows:
            assert 1 <= new <= one.new
            text = running[number]
            if text.prompt_left:
                assert new <= text.prompt_left
                read += new
            else:
                assert new == 1
            text.length += new
    assert read <= policy.prompt_tokens_per_step
    if running:
        assert plan


def test_one_that_fits_passes_one_that_does_not_until_that_was_passed_often_enough() -> None:
    big = WaitingSequence(sequence_id=1, cache_bytes=90)
    small = WaitingSequence(sequence_id=2, cache_bytes=10)
    assert admissible([big, small], POLICY, running=1, used_bytes=20) == (2,)
    assert count_passes([big, small], (2,)) == {1: 1}
    tired = replace(big, passed=3)
    assert admissible([tired, small], POLICY, running=1, used_bytes=20) == ()
    assert admissible([tired, small], POLICY, running=0, used_bytes=0) == (1, 2)


def test_places_bound_who_enters() -> None:
    waiting = [WaitingSequence(sequence_id=number, cache_bytes=1) for number in range(9)]
    assert admissible(waiting, POLICY, running=1, used_bytes=1) == (0, 1, 2)
    assert count_passes(waiting, (0, 1, 2)) == {}


def test_half_of_the_prompt_tokens_go_to_the_oldest_and_the_others_to_the_shortest() -> None:
    running = [
        RunningSequence(sequence_id=1, prompt_left=100, length=0),
        RunningSequence(sequence_id=2, prompt_left=50, length=0),
        RunningSequence(sequence_id=3, prompt_left=6, length=0),
    ]
    chunks = {number: new for one in plan_step(running, POLICY) for number, new in one.rows}
    assert chunks == {1: 8, 3: 6, 2: 2}
    alone = plan_step(running[:1], POLICY)
    assert alone[0].rows == ((1, 16),)


def test_rows_of_very_different_lengths_are_computed_apart() -> None:
    running = [
        RunningSequence(sequence_id=number, prompt_left=0, length=length)
        for number, length in enumerate((10, 20, 4000, 4100, 30))
    ]
    groups = [{number for number, _ in one.rows} for one in plan_step(running, POLICY)]
    assert groups == [{2, 3}, {0, 1, 4}]


def test_rows_with_few_new_tokens_are_not_filled_up_to_a_wide_pass() -> None:
    running = [
        *(RunningSequence(sequence_id=number, prompt_left=0, length=50) for number in range(4)),
        RunningSequence(sequence_id=9, prompt_left=0, length=50, proposed=4),
    ]
    assert [one.new for one in plan_step(running, POLICY)] == [5]
    tight = replace(POLICY, filled_max=3)
    assert [one.new for one in plan_step(running, tight)] == [5, 1]


@pytest.mark.parametrize(
    ("new", "width"), [(1, 1), (5, 5), (8, 8), (9, 16), (17, 32), (2000, 2000), (2001, 2016)]
)
def test_widths_are_few(new: int, width: int) -> None:
    assert padded_width(new) == width
