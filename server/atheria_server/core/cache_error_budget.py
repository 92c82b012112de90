"""May keys and values be cached in so few bits? One decision over a measured drift, with a sentence. Pure; no torch.

The measurement is `models.text.cache.drift`'s; `models.text.cache.settling` asks again with the next precision until one is
within the budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from atheria_server.core.cache_precision import MOST_EXACT_FIRST, CachePrecision


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDrift:
    """How the answers with a compressed cache differ from those with an exact one, over the same tokens."""

    positions: int
    """Foretold tokens that were compared."""
    agreeing: int
    """Of these, where the likeliest token is the same."""
    divergence: float
    """Mean Kullback-Leibler divergence of the compressed from the exact, in nats per position."""

    @property
    def agreement(self) -> float:
        """0 to 1; NaN without positions."""
        return self.agreeing / self.positions if self.positions else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheErrorBudget:
    """What is allowed. Raises ValueError."""

    least_agreement: float = 0.99
    """Of the likeliest tokens, 0 to 1."""
    most_divergence: float = 0.01
    """In nats per position."""
    least_positions: int = 100
    """Fewer say too little: an agreement of 99 % cannot be told from fewer than 100."""

    def __post_init__(self) -> None:
        if not 0 <= self.least_agreement <= 1:
            raise ValueError(f"least_agreement is {self.least_agreement}; allowed is 0 to 1, e.g. 0.99")
        if not self.most_divergence >= 0:
            raise ValueError(f"most_divergence is {self.most_divergence}; allowed is 0 or more, e.g. 0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheDecision:
    """What follows from one measurement."""

    precision: CachePrecision
    """To serve with, or to measure next."""
    accepted: bool
    """Whether `precision` is what was measured and may be served."""
    reason: str


def decide(precision: CachePrecision, drift: CacheDrift, budget: CacheErrorBudget) -> CacheDecision:
    """Keep `precision`, which had this drift, or step back to the next more exact one. `full` is always accepted."""
    if precision is CachePrecision.FULL:
        return CacheDecision(
            precision=precision, accepted=True, reason="full precision is what others are compared with"
        )
    measured = (
        f"{drift.agreeing} of {drift.positions} likeliest tokens agree ({drift.agreement:.2%}), divergence "
        f"{drift.divergence:.2g} nats per token"
    )
    faults = tuple(_faults(drift, budget))
    if not faults:
        return CacheDecision(
            precision=precision, accepted=True, reason=f"{precision} is within the budget: {measured}"
        )
    exacter = MOST_EXACT_FIRST[MOST_EXACT_FIRST.index(precision) - 1]
    return CacheDecision(
        precision=exacter,
        accepted=False,
        reason=f"{precision} is over the budget ({' and '.join(faults)}), back to {exacter}: {measured}",
    )


def _faults(drift: CacheDrift, budget: CacheErrorBudget) -> list[str]:
    faults = []
    if drift.positions < budget.least_positions:
        faults.append(
            f"{drift.positions} positions, needed are {budget.least_positions}: give more golden sequences"
        )
    # Not "<": NaN is over any budget.
    if not drift.agreement >= budget.least_agreement:
        faults.append(f"least agreement {budget.least_agreement:.2%}")
    if not drift.divergence <= budget.most_divergence:
        faults.append(f"most divergence {budget.most_divergence:.2g} nats")
    return faults
