"""A sum that only grows, from sums that begin anew."""

from __future__ import annotations

from atheria_operator.domain.spending import spend


def test_the_first_look_costs_nothing_and_every_further_second_its_price() -> None:
    first = spend(None, {"busy": 7200.0, "idle": 3600.0}, 2.0)
    assert first.usd == {"busy": 0.0, "idle": 0.0}
    assert spend(first, {"busy": 10800.0, "idle": 3600.0}, 2.0).usd == {"busy": 2.0, "idle": 0.0}


def test_a_new_period_adds_its_own_seconds_and_takes_nothing_back() -> None:
    sums = spend(spend(None, {"busy": 0.0}, 1.0), {"busy": 7200.0}, 1.0)
    assert spend(sums, {"busy": 1800.0}, 1.0).usd == {"busy": 2.5}


def test_a_changed_price_holds_from_now_on() -> None:
    sums = spend(spend(None, {"busy": 0.0}, 1.0), {"busy": 3600.0}, 1.0)
    assert spend(sums, {"busy": 7200.0}, 3.0).usd == {"busy": 4.0}
