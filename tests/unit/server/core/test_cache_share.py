from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.cache_share import cache_share_bytes, draft_share_bytes

TOTAL, WEIGHTS = 24_000, 4_000


def test_one_worker_plans_with_what_is_free() -> None:
    assert cache_share_bytes(total_bytes=TOTAL, free_bytes=20_000, own_bytes=WEIGHTS, workers=1) == 16_000


@pytest.mark.parametrize("loaded", [1, 2])
def test_two_workers_plan_the_same_whether_or_not_the_other_has_loaded(loaded: int) -> None:
    free = TOTAL - loaded * WEIGHTS
    assert cache_share_bytes(total_bytes=TOTAL, free_bytes=free, own_bytes=WEIGHTS, workers=2) == 6_400


def test_nobody_plans_with_what_others_have_taken() -> None:
    assert cache_share_bytes(total_bytes=TOTAL, free_bytes=1_000, own_bytes=WEIGHTS, workers=2) == 800


def test_weights_beyond_the_part_leave_no_cache() -> None:
    assert cache_share_bytes(total_bytes=TOTAL, free_bytes=9_000, own_bytes=13_000, workers=2) == 0


def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="workers is 0; allowed is 1 or more"):
        cache_share_bytes(total_bytes=TOTAL, free_bytes=TOTAL, own_bytes=0, workers=0)


@given(
    st.integers(2, 8),
    st.integers(0, 10**12),
    st.lists(st.booleans(), min_size=8, max_size=8),
    st.integers(0, 10**11),
)
def test_weights_and_caches_of_all_workers_fit_the_device(
    workers: int, total: int, others_loaded: list[bool], weights: int
) -> None:
    # Each plans in its turn, with the weights of some others there and no cache filled.
    planned = 0
    for index in range(workers):
        there = 1 + sum(others_loaded[: workers - 1]) if index == 0 else workers
        free = max(0, total - there * weights)
        planned += cache_share_bytes(total_bytes=total, free_bytes=free, own_bytes=weights, workers=workers)
    assert planned == 0 or planned + workers * weights <= total


@given(
    budget=st.integers(1, 10**12),
    sizes=st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1),
    data=st.data(),
)
def test_a_draft_has_room_for_whatever_texts_the_rest_has_room_for(
    budget: int, sizes: list[tuple[int, int]], data: st.DataObject
) -> None:
    of_draft = draft_share_bytes(budget, sizes)
    assert 0 <= of_draft <= budget
    texts = data.draw(st.lists(st.sampled_from(sizes)))
    if sum(network for network, _ in texts) <= budget - of_draft:
        assert sum(draft for _, draft in texts) <= of_draft


@given(network=st.integers(1, 10**12), draft=st.integers(1, 10**12))
def test_what_both_need_for_one_text_is_enough_for_both(network: int, draft: int) -> None:
    assert draft_share_bytes(network + draft, [(network, draft)]) == draft
