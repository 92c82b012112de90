"""The band in which one more equal training's number is expected."""

from __future__ import annotations

import math

import pytest

from atheria_server.core.noise_band import noise_band


def test_the_band_is_around_the_geometric_mean_and_grows_with_the_spread():
    narrow, wide = noise_band([1e-3, 1.1e-3, 0.9e-3]), noise_band([1e-3, 2e-3, 0.5e-3])
    assert narrow.low < 1e-3 < narrow.high
    assert wide.low < narrow.low
    assert wide.high > narrow.high
    assert math.sqrt(wide.low * wide.high) == pytest.approx(1e-3)


def test_the_band_of_two_numbers_is_the_textbooks():
    # Logarithms 0 and 1: standard deviation 0.7071, t 12.71, so 0.5 +- 12.71 * 0.7071 * sqrt(1.5).
    assert math.log(noise_band([1, math.e]).high) == pytest.approx(0.5 + 12.71 * 0.7071 * 1.2247, rel=1e-3)


def test_what_is_not_a_number_is_in_no_band():
    band = noise_band([1, 2, 3])
    assert band.holds(2)
    assert not band.holds(math.nan)
    assert not band.holds(1e9)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan]])
def test_no_band_is_made_of_too_few_or_impossible_numbers(values):
    with pytest.raises(ValueError, match="two or more numbers above 0"):
        noise_band(values)
