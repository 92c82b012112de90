"""A compressed cache is served only within its budget; otherwise the next more exact one is tried, down to none."""

from __future__ import annotations

import math

import pytest

from atheria_server.core.cache_error_budget import CacheDrift, CacheErrorBudget, decide
from atheria_server.core.cache_precision import CachePrecision

BUDGET = CacheErrorBudget(least_agreement=0.99, most_divergence=0.01, least_positions=100)


def drift(agreeing: int = 1000, divergence: float = 0.001, positions: int = 1000) -> CacheDrift:
    return CacheDrift(positions=positions, agreeing=agreeing, divergence=divergence)


def test_a_drift_within_the_budget_keeps_the_precision() -> None:
    decision = decide(CachePrecision.INT4, drift(agreeing=990, divergence=0.01), BUDGET)
    assert decision.accepted
    assert decision.precision is CachePrecision.INT4
    assert "990 of 1000" in decision.reason
    assert "99.00%" in decision.reason


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (drift(agreeing=989), "least agreement 99.00%"),
        (drift(divergence=0.011), "most divergence 0.01 nats"),
        (drift(divergence=math.nan), "most divergence"),
        (drift(agreeing=99, positions=99), "needed are 100: give more golden sequences"),
        (drift(agreeing=0, positions=0), "needed are 100"),
    ],
)
def test_a_drift_over_the_budget_steps_back_and_says_why(measured: CacheDrift, words: str) -> None:
    decision = decide(CachePrecision.INT4, measured, BUDGET)
    assert not decision.accepted
    assert decision.precision is CachePrecision.INT8
    assert words in decision.reason
    assert "back to int8" in decision.reason


def test_steps_back_end_at_full_precision_which_needs_no_measurement() -> None:
    precision, seen = CachePrecision.INT2, []
    while not (decision := decide(precision, drift(agreeing=0), BUDGET)).accepted:
        precision = decision.precision
        seen.append(precision)
    assert seen == [CachePrecision.INT4, CachePrecision.INT8, CachePrecision.FULL]


def test_a_budget_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="least_agreement is 99"):
        CacheErrorBudget(least_agreement=99)
    with pytest.raises(ValueError, match="most_divergence is -1"):
        CacheErrorBudget(most_divergence=-1)
