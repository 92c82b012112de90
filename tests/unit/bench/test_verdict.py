"""The benchmark's arithmetic: what may be called a ratio, and when a bar is met, missed or undecided."""

from __future__ import annotations

import pytest

from bench.serving.verdict import Comparison, Verdict, differences, judge, quantile, ratios


def judged(*values: float, limit: float = 1.1, at_least: bool = True, ratio: bool = True) -> Verdict:
    return judge(Comparison(values=values), limit, at_least=at_least, ratio=ratio)


def test_a_bar_below_every_round_is_met() -> None:
    assert judged(1.2, 1.1, 1.4) is Verdict.MET


def test_a_bar_above_every_round_is_missed() -> None:
    assert judged(1.0, 1.09, 0.9) is Verdict.MISSED


def test_a_bar_inside_the_spread_is_undecided_although_the_median_reaches_it() -> None:
    assert judged(1.2, 1.05, 1.3) is Verdict.UNDECIDED


def test_a_spread_larger_than_the_ratio_is_no_result_although_every_round_reaches_the_bar() -> None:
    assert judged(1.2, 1.5, 3.5) is Verdict.NO_RESULT


def test_two_rounds_are_no_result() -> None:
    assert judged(5.0, 5.0) is Verdict.NO_RESULT


def test_no_rounds_are_no_result() -> None:
    assert judged() is Verdict.NO_RESULT


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.2, -0.1, 0.9), Verdict.MET),
        ((0.2, -0.1, 1.1), Verdict.UNDECIDED),
        ((1.2, 1.1, 4.0), Verdict.MISSED),
    ],
)
def test_a_difference_has_to_stay_below_its_bar_in_every_round(
    values: tuple[float, ...], verdict: Verdict
) -> None:
    assert judged(*values, limit=1.0, at_least=False, ratio=False) is verdict


def test_ratios_compare_servers_of_the_same_round_only() -> None:
    rounds = {
        1: {"a": 200.0, "b": 100.0},
        2: {"a": 30.0, "b": 10.0},
        3: {"a": 999.0},
        4: {"b": 1.0},
        5: {"a": 1.0, "b": 0.0},
    }
    assert ratios(rounds, "a", "b").values == (2.0, 3.0)
    assert differences(rounds, "a", "b").values == (100.0, 20.0, 1.0)


def test_the_median_is_of_the_ratios_and_the_spread_their_extremes() -> None:
    comparison = Comparison(values=(1.0, 1.3, 1.1, 1.2))
    assert comparison.median == pytest.approx(1.15)
    assert (comparison.low, comparison.high) == (1.0, 1.3)


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(100, 0.99, 99), (100, 0.5, 50), (101, 0.99, 100), (3, 0.99, 3), (1, 0.5, 1), (4, 0.0, 1), (4, 1.0, 4)],
)
def test_a_quantile_is_a_measured_value(count: int, share: float, expected: float) -> None:
    assert quantile([float(n) for n in range(count, 0, -1)], share) == expected
