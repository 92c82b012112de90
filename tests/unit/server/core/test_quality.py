"""The relative error of a mean, its floor, and its standard error over paired samples."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.quality import QualityError, relative_error

_NUMBERS = st.floats(-1e6, 1e6)
_SAMPLES = st.lists(st.tuples(_NUMBERS, _NUMBERS), min_size=1, max_size=20)


def test_the_error_is_that_of_the_means_and_not_the_mean_of_the_errors() -> None:
    found = relative_error("C4", [1.0, 3.0], [2.0, 2.0], floor=0.01)
    assert found.value == 0.0
    assert (found.baseline, found.variant) == (2.0, 2.0)


def test_a_small_baseline_mean_is_replaced_by_the_floor() -> None:
    assert relative_error("G", [0.009] * 4, [0.01323] * 4, floor=0.05).value == pytest.approx(0.0846)


def test_a_large_baseline_mean_is_taken_by_its_absolute_value() -> None:
    assert relative_error("x", [-2.0, -2.0], [-1.5, -1.5], floor=0.1).value == pytest.approx(0.25)


def test_what_all_samples_share_has_no_standard_error() -> None:
    found = relative_error("C4", [1.0, 5.0, 9.0], [1.5, 5.5, 9.5], floor=0.01)
    assert found.value == pytest.approx(0.1)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)


def test_the_standard_error_is_that_of_the_mean_of_the_differences() -> None:
    found = relative_error("C4", [1.0, 1.0, 1.0, 1.0], [1.0, 1.2, 1.4, 1.6], floor=0.01)
    deviation = math.sqrt(sum(d * d for d in (-0.3, -0.1, 0.1, 0.3)) / 3)
    assert found.standard_error == pytest.approx(deviation / 2)


def test_one_sample_has_no_standard_error_and_is_judged_as_it_is() -> None:
    assert relative_error("C4", [1.0], [2.0], floor=0.01).standard_error == 0.0


@given(_SAMPLES, st.floats(1e-6, 10))
def test_errors_are_never_negative_and_the_order_of_samples_does_not_matter(
    samples: list[tuple[float, float]], floor: float
) -> None:
    def measured(pairs: list[tuple[float, float]]) -> tuple[float, float]:
        found = relative_error("x", [b for b, _ in pairs], [v for _, v in pairs], floor=floor)
        return found.value, found.standard_error

    value, standard_error = measured(samples)
    assert value >= 0
    assert standard_error >= 0
    scale = max(abs(number) for pair in samples for number in pair) / floor + 1
    assert measured(samples[::-1]) == pytest.approx((value, standard_error), rel=1e-6, abs=1e-9 * scale)


@pytest.mark.parametrize(("baseline", "variant"), [([], []), ([1.0], [1.0, 2.0])])
def test_ensembles_that_do_not_pair_up_are_refused(baseline: list[float], variant: list[float]) -> None:
    with pytest.raises(QualityError, match="expected equally many"):
        relative_error("x", baseline, variant, floor=0.1)


@pytest.mark.parametrize("floor", [0.0, -1.0, math.nan])
def test_a_floor_must_be_above_zero(floor: float) -> None:
    with pytest.raises(QualityError, match="expected a number above 0"):
        relative_error("x", [1.0], [1.0], floor=floor)


def test_nan_stays_nan() -> None:
    assert math.isnan(relative_error("x", [1.0, 2.0], [1.0, math.nan], floor=0.1).value)
