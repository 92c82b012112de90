"""Whether one more number is as good as some equal trainings' numbers: the band in which it would be expected.

Called by the ablation of `models.qca.train`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Final

_T_975: Final = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t for 1, 2 ... 9 degrees of freedom, two-sided 95 %; beyond: 1.96."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseBand:
    """A range of positive numbers."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether it is inside; NaN never is."""
        return self.low <= value <= self.high


def noise_band(values: Sequence[float]) -> NoiseBand:
    """Where one more such number is with 95 %, if their logarithms are normal. Raises ValueError.

    For losses and infidelities: positive, and compared by factors.
    """
    if len(values) < 2 or not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"noise of {list(values)}; expected two or more numbers above 0: run more seeds")
    logarithms = [math.log(value) for value in values]
    freedom = len(values) - 1
    t = _T_975[freedom - 1] if freedom <= len(_T_975) else 1.96
    reach = t * stdev(logarithms) * math.sqrt(1 + 1 / len(values))
    middle = mean(logarithms)
    return NoiseBand(low=math.exp(middle - reach), high=math.exp(middle + reach))
