"""KEDA, KubeAI, AIBrix and llm-d: their formulas, case by case as computed by hand."""

from __future__ import annotations

import pytest

from atheria_operator.simulation.fixed import Fixed
from atheria_operator.simulation.policy import Fleet, GatewayFigures, Sample
from bench.autoscaling.baselines.aibrix import Apa, apa_replicas
from bench.autoscaling.baselines.keda import Keda, keda_may_sleep
from bench.autoscaling.baselines.kubeai import KubeAi, kubeai_replicas
from bench.autoscaling.baselines.llmd import LlmD, llmd_replicas


def sample(seconds: float, calls: int, *first_tokens: float) -> Sample:
    return Sample(
        seconds=seconds,
        gateways=(GatewayFigures(held=0, in_flight=calls, arrivals_total=calls),),
        mean_calls=float(calls),
        span_seconds=1.0,
        first_token_seconds=first_tokens,
    )


@pytest.mark.parametrize(
    ("last_active", "now", "sleeps"), [(None, 1.0, True), (10.0, 309.0, False), (10.0, 310.0, True)]
)
def test_keda_sleeps_after_the_cool_down_or_without_a_last_active_time(
    last_active: float | None, now: float, *, sleeps: bool
) -> None:
    assert keda_may_sleep(last_active_seconds=last_active, now_seconds=now) is sleeps


def test_keda_wakes_to_one_and_leaves_the_rest_to_the_next_sync() -> None:
    keda = Keda(target=8.0)
    keda.see(sample(0.0, 40))
    assert keda.wake(Fleet(requested=0, ready=0), 0.0) == 1
    assert keda.decide(Fleet(requested=1, ready=0), 15.0) == 5


def test_keda_looks_for_sleep_only_at_each_poll() -> None:
    keda = Keda(target=8.0)
    keda.see(sample(1.0, 1))
    keda.see(sample(2.0, 0))
    found = [(now, keda.decide(Fleet(requested=1, ready=1), float(now))) for now in range(15, 400, 15)]
    # Active until 1 s: 301 s at the earliest, the next poll of each 30 s is at 330 s.
    assert next(now for now, wanted in found if wanted == 0) == 330


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        ([80] * 6, 1),  # 480 / 60 / 8
        ([80] * 6 + [1], 2),
        ([16] * 60, 2),
        ([0] * 60, 0),
    ],
)
def test_kubeai_is_the_mean_of_ten_minutes_over_the_target(samples: list[float], wanted: int) -> None:
    assert kubeai_replicas(samples=samples, window=60, target=8.0) == wanted


def test_kubeai_lowers_after_three_lower_rounds() -> None:
    kubeai = KubeAi(target=8.0, window=1)
    found = []
    for round_, calls in enumerate((24, 8, 8, 24, 8, 8, 8)):
        kubeai.see(sample(float(round_), calls))
        found.append(kubeai.decide(Fleet(requested=3, ready=3), 10.0 * round_))
    assert found == [3, 3, 3, 3, 3, 3, 1]


@pytest.mark.parametrize(
    ("current", "use", "wanted"),
    [
        (4, 11.0, 4),  # 1.1 is not above
        (4, 12.0, 5),  # ceil(4.8)
        (4, 50.0, 8),  # not above twice
        (4, 9.0, 4),  # 0.9 is not below
        (4, 5.0, 2),
        (4, 1.0, 2),  # not below half
        (5, 0.0, 2),  # floor(5 / 2)
        (1, 0.0, 0),
    ],
)
def test_aibrix_follows_use_within_half_and_twice(current: int, use: float, wanted: int) -> None:
    assert apa_replicas(current=current, use_per_pod=use, target=10.0) == wanted


def test_aibrix_lowers_five_minutes_after_its_last_change_at_the_earliest() -> None:
    apa = Apa(target=8.0)
    apa.see(sample(1.0, 64))
    assert apa.decide(Fleet(requested=4, ready=4), 10.0) == 8
    for now in range(11, 400):
        apa.see(sample(float(now), 0))
    assert apa.decide(Fleet(requested=8, ready=8), 300.0) == 8
    assert apa.decide(Fleet(requested=8, ready=8), 310.0) == 4


@pytest.mark.parametrize(
    ("saturation", "provisioned", "ready", "wanted"),
    [
        (0.60, 4, 4, 5),  # ceil(4 (0.6 / 0.55 - 1)) = ceil(0.36)
        (2.00, 4, 4, 15),  # ceil(10.5)
        (2.00, 8, 4, 15),  # half are starting: ceil(8 (1 / 0.55 - 1)) = ceil(6.5)
        (0.60, 8, 4, 5),  # as published, the credit may ask for fewer than there are
        (2.00, 4, 0, 15),  # no credit without a ready pod
        (0.50, 4, 4, 4),
        (0.39, 4, 4, 4),  # floor(0.1)
        (0.30, 4, 4, 3),
        (0.20, 4, 2, 2),  # no credit on the way down
        (0.00, 4, 4, 0),
    ],
)
def test_llmd_asks_for_the_deficit_beyond_the_pods_that_start(
    saturation: float, provisioned: int, ready: int, wanted: int
) -> None:
    assert llmd_replicas(saturation=saturation, provisioned=provisioned, ready=ready) == wanted


def test_llmd_needs_a_whole_window_of_higher_wishes() -> None:
    law = LlmD(slo_seconds=2.0)
    fleet = Fleet(requested=1, ready=1)
    law.see(sample(1.0, 1, *([0.5] * 10)))
    # P90 0.5 s over 2 s = 0.25: floor(1 (1 - 0.625)) = 0 pods less
    assert law.decide(fleet, 15.0) == 1
    law.see(sample(16.0, 1, *([4.0] * 90)))
    # s = (0.25 + 2) / 2: wants 3, but 1 was wished within 30 s
    assert law.decide(fleet, 30.0) == 1
    assert law.decide(fleet, 45.0) == 1
    # P90 of the last minute 4 s, clamped at 2: ceil(2 / 0.55 - 1) = 3 more; the lowest wish of 30 s is that of 30 s
    assert law.decide(fleet, 60.0) == 3


def test_a_fixed_number_stays() -> None:
    fixed = Fixed(replicas=3)
    fixed.see(sample(1.0, 99))
    assert fixed.decide(Fleet(requested=3, ready=3), 1.0) == 3
    assert fixed.first_replicas == 3
