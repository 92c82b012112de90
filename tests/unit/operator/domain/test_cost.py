"""Cost from pods and calls over time: each pod-second is paid once, and what was not measured says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain.cost import (
    PERIOD_SECONDS,
    Load,
    Price,
    Usage,
    cost_status,
    observe,
    price_of,
    restored,
)

PRICE = Price(usd_per_hour=3600.0, source="list", date="2026-11")


def load(pods: int, ready: int, in_flight: int = 0, calls: int = 0) -> Load:
    return Load(pods=pods, ready=ready, in_flight=in_flight, calls_total=calls)


def run(*looks: tuple[float, Load]) -> Usage:
    usage = Usage()
    for second, one in looks:
        usage = observe(usage, one, now_seconds=second, now=f"t{second:g}")
    return usage


def test_reserved_busy_and_idle_are_told_apart() -> None:
    usage = run(
        (0, load(1, 0)), (10, load(1, 1)), (20, load(1, 1, 1)), (25, load(1, 1, 0, 10)), (40, load(0, 0))
    )
    assert (usage.loading_seconds, usage.idle_seconds, usage.busy_seconds) == (10, 10 + 15, 5)
    cost = cost_status(usage, PRICE, 2)
    assert cost is not None
    # 2 devices at 1 USD a second: 40 s for 10 calls.
    assert (cost["paidUsd"], cost["reservedPer1000"], cost["busyPer1000"]) == (80, 8000, 1000)
    assert cost["idleUsd"] == 50
    assert (cost["basis"], cost["busyBasis"]) == ("measured", "modelled")
    assert (cost["priceSource"], cost["priceDate"]) == ("list", "2026-11")


def test_without_a_price_or_calls_there_is_no_cost_per_call() -> None:
    usage = run((0, load(1, 1)), (10, load(1, 1)))
    bare = cost_status(usage, None, 1)
    assert bare is not None
    assert "paidUsd" not in bare
    priced = cost_status(usage, PRICE, 1)
    assert priced is not None
    assert "reservedPer1000" not in priced
    assert cost_status(Usage(), PRICE, 1) is None


def test_the_last_call_is_when_one_was_seen_not_when_somebody_looked() -> None:
    usage = run((0, load(1, 1)), (5, load(1, 1, 0, 3)), (50, load(1, 1, 0, 3)))
    assert usage.last_call == "t5"
    assert run((0, load(1, 1))).last_call == ""
    assert run((0, load(1, 1)), (7, load(1, 1, 1, 0))).last_call == "t7"


def test_sums_go_on_after_a_restart_and_begin_anew_after_a_day() -> None:
    usage = run((0, load(1, 1)), (100, load(1, 1, 0, 4)))
    stored = cost_status(usage, PRICE, 1)
    assert stored is not None
    again = restored(stored, usage.last_call)
    # Another process: other clock, other counters.
    again = observe(again, load(1, 1, 0, 7), now_seconds=5, now="x")
    assert (again.calls, again.idle_seconds, again.last_call) == (4, 100, "t100")
    day = PERIOD_SECONDS
    usage = run(*((day / 24 * hour, load(1, 1, 0, 4)) for hour in range(25)))
    assert observe(usage, load(1, 1), now_seconds=day + 1, now="new").since == "new"


def test_a_clock_that_jumps_counts_an_hour_at_most_and_never_backwards() -> None:
    assert run((0, load(1, 1)), (1e9, load(1, 1))).idle_seconds == 3600
    assert run((100, load(1, 1)), (0, load(1, 1))).idle_seconds == 0


@pytest.mark.parametrize("price", [None, {}, {"usdPerHour": "free"}, {"usdPerHour": None}])
def test_a_profile_without_a_number_has_no_price(price: object) -> None:
    assert price_of({"spec": {"price": price}}) is None


def test_a_price_comes_with_its_source_and_date() -> None:
    told = {"usdPerHour": "0.44", "source": "list", "date": "2026-11"}
    assert price_of({"spec": {"price": told}}) == Price(usd_per_hour=0.44, source="list", date="2026-11")


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1000), st.integers(0, 5), st.integers(0, 5), st.integers(0, 9), st.integers(0, 9)
        ),
        max_size=20,
    )
)
def test_every_pod_second_is_paid_exactly_once(steps: list[tuple[float, int, int, int, int]]) -> None:
    usage, now, calls, paid = Usage(), 0.0, 0, 0.0
    before = None
    for gap, ready, starting, in_flight, more in steps:
        now, calls = now + gap, calls + more
        if before is not None:
            paid += gap * before
        usage = observe(usage, load(ready + starting, ready, in_flight, calls), now_seconds=now, now="t")
        before = ready + starting
    assert usage.paid_seconds == pytest.approx(paid, abs=1e-6)
