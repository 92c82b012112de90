"""Asleep or awake: every wish to be awake is fulfilled, and work is only sent to workers that are there for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.standby import Event, Phase, State, step

AWAKE, FALLING, RESTING = State(), State(phase=Phase.FALLING), State(phase=Phase.RESTING)
ASLEEP, WAKING = State(phase=Phase.ASLEEP), State(phase=Phase.WAKING)


def test_it_falls_asleep_by_way_of_not_being_ready() -> None:
    state = step(AWAKE, Event.SLEEP)
    assert (state.phase, state.is_ready, state.is_serving) == (Phase.FALLING, False, True)
    state = step(state, Event.QUIET)
    assert (state.phase, state.is_ready, state.is_serving) == (Phase.RESTING, False, False)
    assert step(state, Event.RESTED) == ASLEEP


def test_calls_in_flight_keep_it_awake() -> None:
    assert step(AWAKE, Event.SLEEP, in_flight=1) == AWAKE
    assert step(FALLING, Event.QUIET, in_flight=1) == AWAKE


def test_a_call_while_it_falls_asleep_keeps_it_awake() -> None:
    assert step(FALLING, Event.WANTED) == AWAKE


def test_a_call_while_the_workers_free_their_devices_wakes_it_after_that() -> None:
    wanted = step(RESTING, Event.WANTED)
    assert wanted.phase is Phase.RESTING
    assert step(wanted, Event.RESTED) == WAKING


def test_a_call_wakes_it() -> None:
    assert step(ASLEEP, Event.WANTED) == WAKING
    assert step(WAKING, Event.WOKEN) == AWAKE


@pytest.mark.parametrize("state", [ASLEEP, RESTING, FALLING])
def test_a_worker_that_died_is_replaced_by_an_awake_one_and_so_the_others_wake(state: State) -> None:
    after = step(state, Event.LOST)
    assert after in (AWAKE, WAKING) or step(after, Event.RESTED) == WAKING


@pytest.mark.parametrize("state", [FALLING, RESTING, ASLEEP, WAKING])
def test_a_second_order_to_sleep_changes_nothing(state: State) -> None:
    assert step(state, Event.SLEEP) == state


@given(
    st.lists(
        st.tuples(st.sampled_from([*Event]), st.integers(min_value=0, max_value=2)), min_size=0, max_size=40
    )
)
def test_whatever_happened_before_a_wish_to_be_awake_is_fulfilled_by_the_workers_answers_alone(
    history: list[tuple[Event, int]],
) -> None:
    state, answer = State(), None
    for event, in_flight in history:
        if event in (Event.RESTED, Event.WOKEN) and event is not answer:
            continue  # workers answer only what they were asked
        before, state = state, step(state, event, in_flight)
        if state.phase is not before.phase:
            # One order at a time: a new one only after the answer to the one before.
            if state.phase in (Phase.RESTING, Phase.WAKING):
                assert answer is None or event is answer
            answer = {Phase.RESTING: Event.RESTED, Phase.WAKING: Event.WOKEN}.get(state.phase)
        assert not (state.is_serving and answer), "no work for workers that move their memory"
    state = step(state, Event.WANTED, in_flight=1)
    for _ in range(3):
        if state.phase in (Phase.RESTING, Phase.WAKING):
            asked = {Phase.RESTING: Event.RESTED, Phase.WAKING: Event.WOKEN}[state.phase]
            state = step(state, asked, in_flight=1)
    assert state == AWAKE
    assert step(state, Event.SLEEP, in_flight=1) == AWAKE, "not before the call is answered"
