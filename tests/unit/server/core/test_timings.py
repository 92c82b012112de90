"""Rounds and ratios: what is a result, and what is not."""

from __future__ import annotations

import pytest

from atheria_server.core.timings import Ratio, Timings, shares, times_faster


def test_quantiles_are_values_that_were_measured():
    times = Timings(seconds=tuple(range(1, 101)))
    assert [times.quantile(share) for share in (0.0, 0.5, 0.95, 0.99, 1.0)] == [1, 50, 95, 99, 100]
    assert Timings(seconds=(3.0,)).quantile(0.99) == 3.0
    assert (times.median, times.low, times.high) == (50.5, 1, 100)


def test_a_ratio_is_taken_round_by_round():
    ratio = times_faster(Timings(seconds=(2.0, 8.0)), Timings(seconds=(1.0, 2.0)))
    assert ratio.values == (2.0, 4.0)
    with pytest.raises(ValueError, match="2 rounds against 1"):
        times_faster(Timings(seconds=(1.0, 1.0)), Timings(seconds=(1.0,)))


@pytest.mark.parametrize(
    ("values", "good", "text"),
    [
        ((2.0, 2.1, 2.2, 2.3, 2.4), True, "2.20 (2.00 - 2.40)"),
        ((2.0, 2.1, 2.2), False, "no ratio: 3 rounds, 5 are needed"),
        ((0.4, 1.0, 2.0, 3.0, 7.5), False, "no ratio: the rounds say 0.40 to 7.50"),
    ],
)
def test_a_ratio_whose_spread_exceeds_it_is_not_printed(values, good, text):
    ratio = Ratio(values=values)
    assert ratio.is_result is good
    assert ratio.text() == text


def test_shares_add_up_and_nothing_has_no_shares():
    assert shares([1.0, 3.0]) == [0.25, 0.75]
    assert shares([0.0, 0.0]) == [0.0, 0.0]
