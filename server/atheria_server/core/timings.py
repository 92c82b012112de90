"""Times of interleaved rounds, and the ratios that they allow. Pure; used by whatever measures or reports.

Round i of two variants was measured side by side, so a ratio is taken round by round: what else the machine did then
touches both. A ratio whose spread exceeds it is not a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

NO_RATIO: Final = "no ratio: "
ROUNDS_MIN: Final = 5
"""Fewer give no ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds of one variant, one value a round, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all rounds; an error if there is none."""
        return median(self.seconds)

    @property
    def low(self) -> float:
        """The fastest round."""
        return min(self.seconds)

    @property
    def high(self) -> float:
        """The slowest round."""
        return max(self.seconds)

    def quantile(self, share: float) -> float:
        """The smallest time that at least `share` (0 to 1) of all do not exceed."""
        ordered = sorted(self.seconds)
        # The small number keeps 0.99 * 100 from becoming the hundredth value by rounding.
        return ordered[min(max(math.ceil(share * len(ordered) - 1e-9), 1), len(ordered)) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times faster, one value a round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all rounds."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The round that says the least."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The round that says the most."""
        return max(self.values)

    @property
    def is_result(self) -> bool:
        """Whether it may be printed: enough rounds, and a spread no larger than the median."""
        return len(self.values) >= ROUNDS_MIN and self.high - self.low <= self.median

    def text(self) -> str:
        """`2.31 (2.10 - 2.55)`, or why there is no number."""
        if self.is_result:
            return f"{self.median:.2f} ({self.low:.2f} - {self.high:.2f})"
        if len(self.values) < ROUNDS_MIN:
            return f"{NO_RATIO}{len(self.values)} rounds, {ROUNDS_MIN} are needed"
        return f"{NO_RATIO}the rounds say {self.low:.2f} to {self.high:.2f}"


def times_faster(slow: Timings, fast: Timings) -> Ratio:
    """slow / fast, round by round. Raises ValueError where the rounds are not the same number."""
    if len(slow.seconds) != len(fast.seconds):
        raise ValueError(
            f"{len(slow.seconds)} rounds against {len(fast.seconds)}; measure both in each round"
        )
    return Ratio(values=tuple(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)))


def shares(parts: Sequence[float]) -> list[float]:
    """Each part of the sum; zeros if there is nothing."""
    total = sum(parts)
    return [part / total if total > 0 else 0.0 for part in parts]
