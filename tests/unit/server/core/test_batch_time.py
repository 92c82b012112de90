"""t(B) = t0 + t1 B: the fit, the gain of batches, and the published case."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.batch_time import BatchTime, fit_batch_time, mean_rows_under_load

SIZES = (1, 2, 4, 8, 16)
SEEDS = BatchTime(fixed_seconds=14 / 15, row_seconds=1 / 15, r_squared=1.0)


def test_the_published_case_gains_3_33_at_4_and_5_45_at_8_and_never_15():
    assert SEEDS.seconds(1) == pytest.approx(1)
    assert SEEDS.seconds(4) == pytest.approx(1.2)
    assert SEEDS.gain(4) == pytest.approx(3.33, abs=0.005)
    assert SEEDS.gain(8) == pytest.approx(5.45, abs=0.006)
    assert SEEDS.gain_limit == pytest.approx(15)
    assert SEEDS.gain(10**6) < 15


@given(fixed=st.floats(0, 1), row=st.floats(1e-4, 1))
def test_points_on_a_line_give_the_line_back(fixed, row):
    line = fit_batch_time([(rows, fixed + row * rows) for rows in SIZES])
    assert line.fixed_seconds == pytest.approx(fixed, abs=1e-9)
    assert line.row_seconds == pytest.approx(row, rel=1e-6)
    assert line.r_squared == pytest.approx(1, abs=1e-6)


def test_the_fit_is_the_least_squares_line_and_says_how_well_it_fits():
    points = [(1, 1.0), (2, 3.0), (3, 2.0)]
    line = fit_batch_time(points)
    assert (line.fixed_seconds, line.row_seconds) == (pytest.approx(1.0), pytest.approx(0.5))
    assert line.r_squared == pytest.approx(1 - 1.5 / 2)


@given(st.lists(st.floats(1e-6, 10), min_size=len(SIZES), max_size=len(SIZES)))
def test_neither_part_is_ever_negative_and_no_other_allowed_line_is_closer(seconds):
    points = list(zip(SIZES, seconds, strict=True))
    line = fit_batch_time(points)
    assert min(line.fixed_seconds, line.row_seconds) >= 0

    def residual(fixed: float, row: float) -> float:
        return sum((s - fixed - row * rows) ** 2 for rows, s in points)

    best = residual(line.fixed_seconds, line.row_seconds)
    for by in (0.99, 1.01):
        assert best <= residual(line.fixed_seconds * by, line.row_seconds) + 1e-9
        assert best <= residual(line.fixed_seconds, line.row_seconds * by) + 1e-9


def test_times_that_grow_faster_than_the_rows_have_no_fixed_part():
    line = fit_batch_time([(1, 1.0), (2, 3.0), (4, 9.0)])
    assert line.fixed_seconds == 0
    assert line.gain_limit == 1


def test_times_that_do_not_grow_have_no_limit():
    line = fit_batch_time([(1, 1.0), (8, 1.0)])
    assert line.gain_limit == math.inf
    assert line.r_squared == 1.0
    assert line.fixed_share == 1.0


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(4, 1.0), (4, 2.0)], "one batch size"),
        ([(0, 1.0), (1, 1.0)], r"\(0, 1.0\); expected rows >= 1"),
        ([(1, 0.0), (2, 1.0)], "positive seconds"),
        ([(1, math.nan), (2, 1.0)], "positive seconds"),
    ],
)
def test_points_that_show_no_line_are_refused(points, words):
    with pytest.raises(ValueError, match=words):
        fit_batch_time(points)


@given(fixed=st.floats(0.001, 1), row=st.floats(0.001, 1), largest=st.integers(1, 64))
def test_the_useful_batch_is_the_smallest_that_reaches_its_share(fixed, row, largest):
    line = BatchTime(fixed_seconds=fixed, row_seconds=row, r_squared=1.0)
    rows = line.useful_rows(largest, share=0.8)
    assert line.gain(rows) >= 0.8 * line.gain(largest)
    assert rows == 1 or line.gain(rows - 1) < 0.8 * line.gain(largest)


def test_the_mean_batch_under_load_is_one_and_those_that_arrive_in_the_window():
    assert mean_rows_under_load(0, 0.05, 8) == 1
    assert mean_rows_under_load(60, 0.05, 8) == pytest.approx(4)
    assert mean_rows_under_load(1000, 0.05, 8) == 8
