"""The HorizontalPodAutoscaler's formula and its behavior, case by case as computed by hand."""

from __future__ import annotations

import pytest

from bench.autoscaling.baselines.hpa import HpaBehavior, HpaLimits, hpa_replicas


@pytest.mark.parametrize(
    ("total", "current", "wanted"),
    [
        (16.0, 2, 2),
        (17.5, 2, 2),  # 1.094: within the tolerance
        (18.0, 2, 3),  # 1.125: ceil(18 / 8)
        (14.5, 2, 2),  # 0.906: within
        (7.0, 2, 1),
        (0.0, 2, 0),
        (1.0, 0, 1),  # without pods there is no ratio
        (80.0, 2, 10),
    ],
)
def test_pods_are_the_total_over_the_target_outside_the_tolerance(
    total: float, current: int, wanted: int
) -> None:
    assert hpa_replicas(total=total, target=8.0, current=current) == wanted


def test_up_goes_by_the_larger_of_double_and_four_each_fifteen_seconds() -> None:
    limits = HpaLimits(HpaBehavior())
    assert limits.apply(wanted=20, current=1, now_seconds=0.0) == 5  # max(2, 1 + 4)
    assert limits.apply(wanted=20, current=5, now_seconds=10.0) == 5  # the period's change is used up
    assert limits.apply(wanted=20, current=5, now_seconds=15.0) == 10  # max(10, 9)
    assert limits.apply(wanted=20, current=10, now_seconds=30.0) == 20


def test_down_waits_until_no_higher_wish_is_younger_than_five_minutes() -> None:
    limits = HpaLimits(HpaBehavior())
    limits.apply(wanted=8, current=8, now_seconds=0.0)
    limits.apply(wanted=3, current=8, now_seconds=15.0)
    assert limits.apply(wanted=1, current=8, now_seconds=300.0) == 8
    assert limits.apply(wanted=1, current=8, now_seconds=315.0) == 3
    assert limits.apply(wanted=1, current=3, now_seconds=330.0) == 1


def test_up_with_a_window_takes_the_lowest_wish_in_it() -> None:
    limits = HpaLimits(HpaBehavior(up_window_seconds=30.0))
    assert limits.apply(wanted=2, current=2, now_seconds=0.0) == 2
    assert limits.apply(wanted=6, current=2, now_seconds=15.0) == 2
    assert limits.apply(wanted=5, current=2, now_seconds=45.0) == 5


def test_down_by_pods_leaves_one_a_period() -> None:
    limits = HpaLimits(HpaBehavior(down_pods=1, down_period_seconds=120.0, down_window_seconds=0.0))
    assert limits.apply(wanted=1, current=5, now_seconds=0.0) == 4
    assert limits.apply(wanted=1, current=4, now_seconds=60.0) == 4
    assert limits.apply(wanted=1, current=4, now_seconds=120.0) == 3
