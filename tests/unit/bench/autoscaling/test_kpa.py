"""Knative's formula, case by case as computed by hand: target 7 (10 calls at 70 %)."""

from __future__ import annotations

import pytest

from atheria_operator.simulation.policy import Fleet, Sample
from bench.autoscaling.baselines.kpa import Kpa, KpaMemory, KpaSpec, kpa_scale

SPEC = KpaSpec(container_concurrency=10)
CALM = KpaMemory()


@pytest.mark.parametrize(
    ("ready", "stable", "panic", "wanted"),
    [
        (1, 21.0, 7.0, 3),  # ceil(21 / 7)
        (1, 21.1, 7.0, 4),
        (0, 3.0, 3.0, 1),  # without pods one is counted
        (1, 0.0, 0.0, 0),  # floor(1 / 2) = 0 lets the last one go
        (10, 7.0, 7.0, 5),  # not below floor(10 / 2)
        (3, 7.0, 7.0, 1),  # floor(3 / 2) = 1
        (2, 14.0, 21.0, 2),  # ceil(21 / 7) / 2 = 1.5: no panic
        (2, 14.0, 21.1, 4),  # ceil(21.1 / 7) / 2 = 2: panic, and its 4 pods count
    ],
)
def test_pods_follow_the_published_formula(ready: int, stable: float, panic: float, wanted: int) -> None:
    _, found = kpa_scale(spec=SPEC, memory=CALM, stable=stable, panic=panic, ready=ready, now_seconds=0.0)
    assert found == wanted


def test_one_step_up_is_bounded_by_the_rate() -> None:
    spec = KpaSpec(container_concurrency=10, max_scale_up_rate=2.0)
    _, found = kpa_scale(spec=spec, memory=CALM, stable=100.0, panic=70.0, ready=3, now_seconds=0.0)
    assert found == 6  # ceil(2 * 3), of 15 wanted


def test_panic_never_lowers_and_ends_a_stable_window_after_the_last_burst() -> None:
    memory, found = kpa_scale(spec=SPEC, memory=CALM, stable=14.0, panic=63.0, ready=2, now_seconds=10.0)
    assert found == 9
    for now, wanted in ((30.0, 9), (69.9, 9), (70.0, 4)):  # 4: not below floor(9 / 2)
        memory, found = kpa_scale(spec=SPEC, memory=memory, stable=14.0, panic=14.0, ready=9, now_seconds=now)
        assert found == wanted
    assert memory == CALM


def test_a_burst_within_panic_extends_it() -> None:
    memory, _ = kpa_scale(spec=SPEC, memory=CALM, stable=14.0, panic=63.0, ready=2, now_seconds=10.0)
    memory, _ = kpa_scale(spec=SPEC, memory=memory, stable=14.0, panic=63.0, ready=4, now_seconds=50.0)
    _, found = kpa_scale(spec=SPEC, memory=memory, stable=7.0, panic=7.0, ready=9, now_seconds=80.0)
    assert found == 9


def test_the_last_pod_goes_after_an_idle_window_and_the_grace_period() -> None:
    kpa = Kpa(spec=SPEC)
    found = []
    for second in range(1, 101):
        mean = 1.0 if second <= 4 else 0.0
        kpa.see(
            Sample(
                seconds=float(second),
                gateways=(),
                mean_calls=mean,
                span_seconds=1.0,
                first_token_seconds=(),
            )
        )
        if second % 2 == 0:
            found.append((second, kpa.decide(Fleet(requested=1, ready=1), float(second))))
    # The last busy second leaves the window of 60 s at 64 s; 30 s of grace later the pod may go.
    assert next(second for second, wanted in found if wanted == 0) == 94


def test_a_restart_with_pods_does_not_lower() -> None:
    kpa = Kpa(spec=SPEC)
    kpa.restart()
    assert kpa.decide(Fleet(requested=6, ready=6), 1.0) == 6
