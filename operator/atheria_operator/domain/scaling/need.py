"""What the calls need, before bounds and delays: the answer of each metric's law. Made by `by_*`, used by `decide`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.windows import Mark

_ROUNDING: Final = 1e-9
"""2.0000000001 pods are 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the laws look at."""

    observation: Observation
    demand: Demand
    marks: tuple[Mark, ...]
    """The newest is of now."""
    service_seconds: float | None
    """Of a call; None = not measured yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Pods, not rounded."""

    steady: float
    """That the load keeps busy: kept as long as their next start is worth it."""
    total: float
    """With those that only the backlog needs."""
    formula: str
    """How it was computed, with the numbers."""
    arrivals_per_second: float | None = None
    """Over the stable window."""
    burst_per_second: float | None = None
    """Over the panic window, less chance."""

    @property
    def steady_pods(self) -> int:
        """Rounded up."""
        return math.ceil(self.steady - _ROUNDING)

    @property
    def pods(self) -> int:
        """Rounded up."""
        return math.ceil(max(self.steady, self.total) - _ROUNDING)
