"""Places of callers: never more than the limit, and every one comes back."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.caller_limits import ENV_CONCURRENCY, CallerLimits, caller_concurrency
from atheria_server.core.errors import CallerLimitError, StartError


def test_a_caller_gets_its_places_and_no_more_and_others_have_their_own() -> None:
    limits = CallerLimits(2)
    with limits.place("a"), limits.place("a"):
        with pytest.raises(CallerLimitError, match="caller 'a' has 2 calls in flight"), limits.place("a"):
            pass
        with limits.place("b"):
            assert limits.callers == 2
    with limits.place("a"):
        assert limits.callers == 1
    assert limits.callers == 0


def test_a_block_that_raises_gives_its_place_back() -> None:
    limits = CallerLimits(1)
    for _ in range(3):
        with pytest.raises(KeyError), limits.place("a"):
            raise KeyError
    assert limits.callers == 0


def test_without_a_limit_everything_passes_and_nobody_is_remembered() -> None:
    limits = CallerLimits(0)
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(limits.place("a"))
        assert limits.callers == 0


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=60))
def test_in_every_order_of_coming_and_going_the_count_is_right(
    limit: int, steps: list[tuple[bool, str]]
) -> None:
    limits = CallerLimits(limit)
    held: dict[str, list[ExitStack]] = {caller: [] for caller in "abc"}
    for comes, caller in steps:
        if not comes:
            if held[caller]:
                held[caller].pop(0).close()
            continue
        place = ExitStack()
        try:
            place.enter_context(limits.place(caller))
        except CallerLimitError:
            assert len(held[caller]) == limit
        else:
            held[caller].append(place)
            assert len(held[caller]) <= limit
    assert limits.callers == len(+Counter({caller: len(places) for caller, places in held.items()}))
    for places in held.values():
        for place in places:
            place.close()
    assert limits.callers == 0


def test_the_environment_sets_the_limit_and_none_is_the_default() -> None:
    assert [caller_concurrency({ENV_CONCURRENCY: text}) for text in ("", "0", "8")] == [0, 0, 8]
    assert caller_concurrency({}) == 0


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "1000001", "²"])
def test_a_wrong_limit_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(StartError, match=f"{ENV_CONCURRENCY} is '{text}'; expected a whole number from 1"):
        caller_concurrency({ENV_CONCURRENCY: text})
