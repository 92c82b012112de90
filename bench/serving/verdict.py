"""From measurements of several rounds to ratios, and from ratios to verdicts; pure.

A ratio compares two servers of the same round, so that what else the machine does touches both. Its spread is the distance
from the smallest to the largest of the rounds. A ratio whose spread is larger than itself is not a result, and a bar that lies
inside the spread is undecided: neither is ever reported as met or missed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

MIN_ROUNDS: Final = 3


class Verdict(enum.Enum):
    """What may be said about a bar."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"
    """The bar lies inside the spread."""
    NO_RESULT = "no result"
    """Too few rounds, or a spread larger than the ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The values of one comparison, one per round in which both sides were measured."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of all rounds; an error if there is none."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The smallest round."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest round."""
        return max(self.values)

    @property
    def enough(self) -> bool:
        """Whether there are at least MIN_ROUNDS rounds."""
        return len(self.values) >= MIN_ROUNDS

    @property
    def is_ratio(self) -> bool:
        """Whether this may be given as a ratio: enough rounds, and a spread no larger than the median."""
        return self.enough and self.high - self.low <= self.median


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What a subject has to reach beside a reference."""

    subject: str
    reference: str
    metric: str
    """`throughput`: ratio of calls per second, at least `limit`. `p50_low_load_ms`: difference, at most `limit`."""
    limit: float

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.metric == "throughput"


Rounds = Mapping[int, Mapping[str, float]]
"""Round number -> server -> value; a server that failed in a round is missing there."""


def ratios(rounds: Rounds, subject: str, reference: str) -> Comparison:
    """Subject divided by reference, round by round."""
    return Comparison(
        values=tuple(
            row[subject] / row[reference]
            for row in rounds.values()
            if subject in row and row.get(reference, 0) > 0
        )
    )


def differences(rounds: Rounds, subject: str, reference: str) -> Comparison:
    """Subject minus reference, round by round."""
    return Comparison(
        values=tuple(
            row[subject] - row[reference] for row in rounds.values() if subject in row and reference in row
        )
    )


def judge(comparison: Comparison, limit: float, *, at_least: bool, ratio: bool) -> Verdict:
    """Met or missed only if every round says so."""
    if not comparison.enough or (ratio and not comparison.is_ratio):
        return Verdict.NO_RESULT
    good, bad = (comparison.low, comparison.high) if at_least else (-comparison.high, -comparison.low)
    bar = limit if at_least else -limit
    if good >= bar:
        return Verdict.MET
    return Verdict.MISSED if bad < bar else Verdict.UNDECIDED


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed; an error without values."""
    ordered = sorted(values)
    # The small number keeps 0.99 * 100 from becoming the hundredth value by rounding.
    index = -int(-(share * len(ordered) - 1e-9) // 1) - 1
    return ordered[min(max(index, 0), len(ordered) - 1)]
