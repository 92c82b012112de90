"""Cost formulas: the published numbers, closed forms, and a waterfall that adds up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core import economics as eco
from atheria_server.core.batch_time import BatchTime

positive = st.floats(1e-3, 1e3)
share = st.floats(0.01, 1.0)


def test_the_published_prices_give_the_published_costs_of_an_inference_and_their_ratio():
    before = eco.reserved_per_thousand(2.50, 1800 / 3600) / 1000
    after = eco.reserved_per_thousand(0.50, 7200 / 3600) / 1000
    assert before == pytest.approx(0.001389, abs=5e-7)
    assert after == pytest.approx(0.0000694, abs=5e-8)
    assert before / after == pytest.approx(20.0)


def test_the_published_factor_is_a_price_of_5_and_a_throughput_of_4():
    found = eco.waterfall(
        eco.Setup(usd_per_hour=2.50, busy_seconds=3600 / 1800),
        [
            eco.Change(name="price", usd_per_hour=0.50),
            eco.Change(name="throughput", busy_seconds=3600 / 7200),
        ],
    )
    assert [step.factor for step in found.steps] == [pytest.approx(5.0), pytest.approx(4.0)]
    assert found.total == pytest.approx(20.0)
    assert found.first / 1000 == pytest.approx(0.001389, abs=5e-7)
    assert found.last / 1000 == pytest.approx(0.0000694, abs=5e-8)


@pytest.mark.parametrize(
    ("hardware", "gain"),
    [(1.0, 4.0), (121 / 312, 10.3), (300 / 2039, 27.2)],
    ids=["launches", "compute", "memory"],
)
def test_the_software_gain_that_4_times_the_throughput_on_a_smaller_device_needs(hardware, gain):
    assert eco.needed_software_gain(4, hardware) == pytest.approx(gain, abs=0.05)


def test_at_prices_of_2026_twenty_times_cheaper_needs_6_8_times_the_throughput():
    assert eco.needed_software_gain(20, 1.29 / 0.44) == pytest.approx(6.8, abs=0.05)


@given(p=positive, throughput=positive, u=share)
def test_reserved_is_the_cost_while_busy_by_the_utilisation(p, throughput, u):
    busy = eco.reserved_per_thousand(p, throughput)
    assert eco.reserved_per_thousand(p, throughput, u) == pytest.approx(busy / u)


@given(
    p=positive, busy=positive, idle=st.floats(0, 1e3), loading=st.floats(0, 1e3), count=st.integers(1, 10**6)
)
def test_busy_idle_and_cold_are_told_apart_and_add_up(p, busy, idle, loading, count):
    cost = eco.period_cost(p, eco.PaidSeconds(busy=busy, idle=idle, loading=loading), count)
    assert cost.total == pytest.approx(cost.busy + cost.idle + cost.cold)
    assert cost.total == pytest.approx(p / 3600 * (busy + idle + loading) / count * 1000)
    assert cost.goodput == cost.total


def test_answers_that_came_too_late_make_the_others_dearer():
    seconds = eco.PaidSeconds(busy=100)
    cost = eco.period_cost(1.0, seconds, 1000, within_objective=500)
    assert cost.goodput == pytest.approx(2 * cost.total)
    assert eco.period_cost(1.0, seconds, 1000, within_objective=0).goodput == math.inf
    with pytest.raises(eco.EconomicsError, match="within_objective is 1001; expected 0 to 1000"):
        eco.period_cost(1.0, seconds, 1000, within_objective=1001)


def test_scale_to_zero_is_its_formula():
    time = BatchTime(fixed_seconds=0.01, row_seconds=0.002, r_squared=1.0)
    load = eco.ScaleToZero(
        inferences=10_000, mean_rows=4, cold_starts=3, cold_seconds=80, idle_periods=5, keep_seconds=60
    )
    cost = eco.scale_to_zero_cost(0.44, time, load)
    expected = 0.44 / 3600 * (time.seconds(4) / 4 + (3 * 80 + 5 * 60) / 10_000) * 1000
    assert cost.total == pytest.approx(expected)
    assert cost.cold == pytest.approx(0.44 / 3600 * 3 * 80 / 10_000 * 1000)


def test_a_replica_stays_warm_while_the_next_call_is_likely_enough():
    cold = eco.cold_start_cost(3600.0, 10.0, penalty_usd=5.0)
    assert cold == 15.0
    assert eco.stays_warm(1 / 14, 3600.0, cold)
    assert not eco.stays_warm(1 / 16, 3600.0, cold)
    assert eco.break_even_seconds(3600.0, cold) == 15.0


@given(gap=st.floats(0, 1e4), p=positive, cold_seconds=positive)
def test_whoever_keeps_a_replica_until_the_break_even_pays_at_most_twice_the_best(gap, p, cold_seconds):
    cold = eco.cold_start_cost(p, cold_seconds)
    keep = eco.break_even_seconds(p, cold)
    rate = p / 3600
    best = min(rate * gap, cold)
    paid = rate * gap if gap <= keep else rate * keep + cold
    assert paid <= 2 * best * (1 + 1e-9)


def test_a_part_of_a_device_costs_its_larger_share():
    assert eco.shared_price(4.0, 0.25, 0.5) == 2.0
    assert eco.shared_price(4.0, 0.75, 0.5) == 3.0


setups = st.fixed_dictionaries(
    {
        "usd_per_hour": st.none() | positive,
        "busy_seconds": st.none() | positive,
        "utilisation": st.none() | share,
        "loading_share": st.none() | st.floats(0, 10),
    }
)


@given(changes=st.lists(setups, max_size=8))
def test_the_factors_multiply_to_the_total_whatever_changes(changes):
    first = eco.Setup(usd_per_hour=2.5, busy_seconds=0.01, utilisation=0.25, loading_share=0.1)
    found = eco.waterfall(first, [eco.Change(name=str(i), **change) for i, change in enumerate(changes)])
    assert found.product == pytest.approx(found.total, rel=1e-9)
    assert len(found.to_json()["steps"]) == len(changes)


def test_a_waterfall_that_lost_a_step_is_refused():
    step = eco.WaterfallStep(name="price", factor=2.0, per_thousand=0.25, basis="measured")
    with pytest.raises(eco.EconomicsError, match=r"multiply to 2, but the total is 4; a step is missing"):
        eco.check_waterfall(eco.Waterfall(first=1.0, steps=(step,)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: eco.reserved_per_thousand(0, 1), "usd_per_hour is 0; expected a positive number"),
        (lambda: eco.reserved_per_thousand(1, math.inf), "throughput is inf"),
        (
            lambda: eco.reserved_per_thousand(1, 1, 1.5),
            "utilisation is 1.5; expected more than 0 and at most 1",
        ),
        (lambda: eco.waterfall(eco.Setup(usd_per_hour=1, busy_seconds=0), []), "busy_seconds is 0"),
        (
            lambda: eco.waterfall(eco.Setup(usd_per_hour=1, busy_seconds=1, loading_share=-1), []),
            "loading_share is -1",
        ),
        (lambda: eco.shared_price(1, 0, 0.5), "compute_share is 0"),
    ],
)
def test_numbers_that_no_cost_follows_from_are_refused_by_name(call, words):
    with pytest.raises(eco.EconomicsError, match=words):
        call()
