"""What became of the key-value cache that a text model was asked to have: told in /v2/health/optimization and as metrics. Pure.

Made by `models.text.start` once the error budget has spoken; read by `prepared_metrics` and, over HTTP, by the operator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atheria_server.core.cache_error_budget import CacheDrift, CacheErrorBudget
from atheria_server.core.cache_precision import CachePrecision


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """Of one generator."""

    wanted: CachePrecision
    precision: CachePrecision
    """That runs: `wanted`, or a more exact one where that changed too much."""
    recent_window: int
    """Newest tokens of a text that stay exact at most."""
    budget: CacheErrorBudget
    drift: CacheDrift | None = None
    """What `precision` changes; None = nothing, for `full`."""
    reasons: Sequence[str] = ()
    """A sentence for each decision."""

    @property
    def stepped_back(self) -> bool:
        """Whether something else runs than was wanted."""
        return self.precision is not self.wanted

    def to_json(self) -> dict[str, Any]:
        """Section `kv_cache` of the report; None for what is not finite."""
        return {
            "wanted": self.wanted.value,
            "precision": self.precision.value,
            "recent_window": self.recent_window,
            "agreement": 1.0 if self.drift is None else _finite(self.drift.agreement),
            "divergence": 0.0 if self.drift is None else _finite(self.drift.divergence),
            "positions": 0 if self.drift is None else self.drift.positions,
            "least_agreement": self.budget.least_agreement,
            "most_divergence": _finite(self.budget.most_divergence),
            "stepped_back": self.stepped_back,
            "why": "; ".join(self.reasons),
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
