"""From the wanted precision of a cache back to one whose drift is within the budget; called before a model is ready."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from atheria_server.core.cache_error_budget import CacheDrift, CacheErrorBudget, decide
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.drift import GoldenSequence, measure_drift
from atheria_server.models.text.causal import CausalModel

_NOTHING_MEASURED: Final = CacheDrift(positions=0, agreeing=0, divergence=0.0)
_LOG = logging.getLogger("atheria.text.cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What to serve with, and why."""

    settings: CacheSettings
    drifts: dict[CachePrecision, CacheDrift]
    """Of every precision that was measured."""
    reasons: tuple[str, ...]
    """A sentence for each decision, in order; the last one accepts."""


def settle(
    network: CausalModel,
    sequences: Sequence[GoldenSequence],
    wanted: CacheSettings,
    budget: CacheErrorBudget,
    device: str = "cpu",
) -> Settled:
    """Measure `wanted` and step back (int2, int4, int8, full) until the drift on `sequences` is within `budget`.

    Without sequences nothing compressed is accepted.
    """
    settings, drifts, reasons = wanted, dict[CachePrecision, CacheDrift](), list[str]()
    while True:
        drift = _NOTHING_MEASURED
        if settings.precision is not CachePrecision.FULL and sequences:
            drift = drifts[settings.precision] = measure_drift(network, sequences, settings, device)
        decision = decide(settings.precision, drift, budget)
        reasons.append(decision.reason)
        _LOG.info(
            "cache_precision=%s accepted=%s reason=%r", settings.precision, decision.accepted, decision.reason
        )
        if decision.accepted:
            return Settled(settings=settings, drifts=drifts, reasons=tuple(reasons))
        settings = replace(settings, precision=decision.precision)
