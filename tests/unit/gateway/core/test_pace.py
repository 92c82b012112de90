"""A backlog goes on in step with what the pods can take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_gateway.core.model import Model, ModelKey
from atheria_gateway.core.pace import BATCHES_PER_WORKER, PATIENCE_S, Pace, capacity

KEY = ModelKey(namespace="demo", name="qca")


def test_capacity_grows_with_pods_workers_and_batch() -> None:
    model = Model(key=KEY, batch_size=8, workers=2)
    assert capacity(model, 0) == 0
    assert capacity(model, 3) == 3 * 2 * 8 * BATCHES_PER_WORKER


def test_gateways_share_the_room_and_each_keeps_a_batch_for_every_worker() -> None:
    model = Model(key=KEY, batch_size=8, workers=2)
    whole = capacity(model, 3)
    assert capacity(model, 3, gateways=2) == whole // 2
    assert capacity(model, 3, gateways=BATCHES_PER_WORKER) == whole // BATCHES_PER_WORKER
    assert capacity(model, 3, gateways=100) == 3 * 2 * 8
    assert capacity(model, 0, gateways=100) == 0


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, BATCHES_PER_WORKER))
def test_together_they_have_no_more_than_one_would(
    pods: int, batch: int, workers: int, gateways: int
) -> None:
    model = Model(key=KEY, batch_size=batch, workers=workers)
    assert gateways * capacity(model, pods, gateways) <= capacity(model, pods)


def test_calls_go_on_up_to_the_limit_and_the_next_one_at_each_end() -> None:
    pace = Pace()
    for ticket in (1, 2):
        assert pace.may_release(KEY, 2, 0.0)
        pace.released(KEY, ticket, 0.0)
    assert not pace.may_release(KEY, 2, 0.1)
    assert pace.ended(1, 0.2) == KEY
    assert pace.may_release(KEY, 2, 0.2)
    assert pace.ended(1, 0.3) is None


def test_without_a_pod_nothing_goes_on() -> None:
    assert not Pace().may_release(KEY, 0, 0.0)


def test_long_streams_do_not_stop_those_behind_them_for_ever() -> None:
    pace = Pace()
    pace.released(KEY, 1, 0.0)
    assert not pace.may_release(KEY, 1, PATIENCE_S - 0.1)
    assert pace.may_release(KEY, 1, PATIENCE_S)
    pace.released(KEY, 2, PATIENCE_S)
    assert not pace.may_release(KEY, 1, PATIENCE_S + 0.1)
    assert pace.ended(1, PATIENCE_S + 0.2) is None
    assert pace.running(KEY) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=80))
def test_within_the_patience_never_more_than_the_limit_run(steps: list[tuple[bool, int]]) -> None:
    pace, out, number = Pace(), [], 0
    for is_release, which in steps:
        if is_release and pace.may_release(KEY, 3, 0.0):
            number += 1
            pace.released(KEY, number, 0.0)
            out.append(number)
        elif not is_release and out:
            assert pace.ended(out.pop(which % len(out)), 0.0) == KEY
        assert pace.running(KEY) == len(out) <= 3
