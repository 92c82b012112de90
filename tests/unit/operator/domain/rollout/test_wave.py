"""Models follow a new default image a few at a time; one that is rolled back stops the others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.wave import Member, Stage, Wave, decide_wave


def key(name: str) -> ModelKey:
    return ModelKey(namespace="demo", name=name)


def members(**stages: Stage) -> dict[ModelKey, Member]:
    return {key(name): Member(stage=stage) for name, stage in stages.items()}


def names(wave: Wave) -> set[str]:
    return {one.name for one in wave.turns}


def test_the_next_one_begins_when_the_one_before_is_through() -> None:
    wave = decide_wave(members(a=Stage.WAITING, b=Stage.WAITING), Wave(), at_once=1)
    assert names(wave) == {"a"}
    wave = decide_wave(members(a=Stage.ROLLING, b=Stage.WAITING), wave, at_once=1)
    assert names(wave) == set()
    wave = decide_wave(members(a=Stage.DONE, b=Stage.WAITING), wave, at_once=1)
    assert names(wave) == {"b"}


def test_a_turn_that_was_given_holds_its_place_until_the_model_has_begun() -> None:
    seen = members(a=Stage.WAITING, b=Stage.WAITING)
    wave = decide_wave(seen, Wave(), at_once=1)
    assert decide_wave({**seen, key("0"): Member(stage=Stage.WAITING)}, wave, at_once=1) == wave


def test_one_that_was_rolled_back_stops_the_others_until_it_is_settled() -> None:
    wave = decide_wave(members(a=Stage.FAILED, b=Stage.WAITING), Wave(), at_once=3)
    assert (names(wave), wave.stopped_by) == (set(), key("a"))
    wave = decide_wave(members(a=Stage.ROLLING, b=Stage.WAITING), wave, at_once=3)
    assert (names(wave), wave.stopped_by) == ({"b"}, None)
    # Or it does not follow any more.
    assert names(decide_wave(members(b=Stage.WAITING), wave, at_once=1)) == {"b"}


def test_those_that_go_first_do() -> None:
    seen = {
        key("a"): Member(stage=Stage.WAITING),
        key("z"): Member(stage=Stage.WAITING, goes_first=True),
    }
    assert names(decide_wave(seen, Wave(), at_once=1)) == {"z"}


def test_a_model_with_a_rollout_of_its_own_neither_holds_nor_gets_a_place() -> None:
    wave = decide_wave(members(a=Stage.BUSY, b=Stage.WAITING), Wave(), at_once=1)
    assert names(wave) == {"b"}
    assert names(decide_wave(members(a=Stage.BUSY), Wave(), at_once=1)) == set()


def test_nobody_begins_before_all_models_are_known() -> None:
    wave = decide_wave(members(b=Stage.WAITING), Wave(), at_once=1, is_complete=False)
    assert names(wave) == set()


MEMBERS = st.dictionaries(
    st.sampled_from("abcdefgh").map(key),
    st.builds(Member, stage=st.sampled_from(Stage), goes_first=st.booleans()),
)
TURNS = st.frozensets(st.sampled_from("abcdefgh").map(key))


@given(seen=MEMBERS, turns=TURNS, at_once=st.integers(1, 4), is_complete=st.booleans())
def test_a_decision_is_bounded_idempotent_and_free_of_order(
    seen: Mapping[ModelKey, Member], turns: frozenset[ModelKey], at_once: int, is_complete: bool
) -> None:
    before = Wave(turns=turns)
    wave = decide_wave(seen, before, at_once=at_once, is_complete=is_complete)
    waiting = {one for one, member in seen.items() if member.stage is Stage.WAITING}
    assert wave.turns <= waiting
    assert wave.turns >= turns & waiting, "a turn was taken back"
    rolling = sum(member.stage is Stage.ROLLING for member in seen.values())
    begun = wave.turns - turns
    assert not begun or rolling + len(wave.turns) <= at_once
    has_failed = any(member.stage is Stage.FAILED for member in seen.values())
    assert (wave.stopped_by is not None) == has_failed
    if has_failed or not is_complete:
        assert not begun
    turned = dict(reversed(list(seen.items())))
    assert decide_wave(turned, before, at_once=at_once, is_complete=is_complete) == wave
    assert decide_wave(seen, wave, at_once=at_once, is_complete=is_complete) == wave


@settings(max_examples=200)
@given(data=st.data(), count=st.integers(1, 8), at_once=st.integers(1, 3))
def test_however_models_go_on_no_more_than_allowed_are_on_their_way_and_all_get_there(
    data: st.DataObject, count: int, at_once: int
) -> None:
    seen = {key(str(number)): Member(stage=Stage.WAITING) for number in range(count)}
    wave = Wave()
    steps = 0
    while any(member.stage is not Stage.DONE for member in seen.values()):
        wave = decide_wave(seen, wave, at_once=at_once)
        rolling = sum(member.stage is Stage.ROLLING for member in seen.values())
        # Also when one that was rolled back is promoted: while it is, its place is given to nobody.
        assert rolling + len(wave.turns) <= at_once
        movable = sorted(
            [*wave.turns, *(one for one, member in seen.items() if member.stage is not Stage.WAITING)],
            key=str,
        )
        movable = [one for one in movable if seen[one].stage is not Stage.DONE]
        assert movable, "nobody may go on, and not all are through"
        moved = data.draw(st.sampled_from(movable))
        if seen[moved].stage is Stage.ROLLING and data.draw(st.booleans()):
            following = Stage.FAILED if steps < 50 else Stage.DONE
        else:
            following = {
                Stage.WAITING: Stage.ROLLING,
                Stage.ROLLING: Stage.DONE,
                # Promoted again, or its spec corrected.
                Stage.FAILED: Stage.ROLLING,
            }[seen[moved].stage]
        seen[moved] = Member(stage=following)
        steps += 1
    assert steps >= 2 * count


@pytest.mark.parametrize("at_once", [1, 2])
def test_without_failures_the_bound_is_never_exceeded(at_once: int) -> None:
    seen = {key(str(number)): Member(stage=Stage.WAITING) for number in range(6)}
    wave, most = Wave(), 0
    while any(member.stage is not Stage.DONE for member in seen.values()):
        wave = decide_wave(seen, wave, at_once=at_once)
        for one in wave.turns:
            seen[one] = Member(stage=Stage.ROLLING)
        rolling = sorted((one for one, member in seen.items() if member.stage is Stage.ROLLING), key=str)
        most = max(most, len(rolling))
        seen[rolling[0]] = Member(stage=Stage.DONE)
    assert most == at_once
