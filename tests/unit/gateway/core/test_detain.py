"""When calls pass the hold although the model has pods."""

from __future__ import annotations

import pytest

from atheria_gateway.core.detain import Load, is_detained
from atheria_gateway.core.model import Model, ModelKey

MODEL = Model(key=ModelKey(namespace="demo", name="qca"), batch_size=8, workers=1, queue_limit=100)
CAPACITY = 32


def _load(held: int = 0, in_flight: int = 0, pods: int = 1, rate: float = 10.0) -> Load:
    return Load(held=held, in_flight=in_flight, ready_pods=pods, arrivals_per_second=rate)


@pytest.mark.parametrize(
    ("load", "was", "expected"),
    [
        (_load(pods=0, held=500), False, False),
        (_load(held=CAPACITY), False, False),
        (_load(held=CAPACITY + 1), False, True),
        (_load(held=1), True, True),
        (_load(held=0), True, False),
        (_load(in_flight=79), False, False),
        (_load(in_flight=80), False, True),
        (_load(in_flight=80, rate=501.0), False, False),
        (_load(in_flight=160, pods=2), False, True),
        (_load(in_flight=51), True, True),
        (_load(in_flight=50), True, False),
    ],
)
def test_a_backlog_or_full_pods_bring_the_hold_back_until_both_are_over(
    load: Load, was: bool, expected: bool
) -> None:
    assert is_detained(MODEL, load, was=was) is expected


def test_several_gateways_each_let_their_part_of_a_backlog_go_on_at_once() -> None:
    assert is_detained(MODEL, _load(held=CAPACITY // 2 + 1), was=False, gateways=2)
    assert not is_detained(MODEL, _load(held=CAPACITY // 2), was=False, gateways=2)


def test_several_gateways_each_count_on_their_part_of_the_queues() -> None:
    assert is_detained(MODEL, _load(in_flight=40), was=False, gateways=2)
    assert not is_detained(MODEL, _load(in_flight=39), was=False, gateways=2)
