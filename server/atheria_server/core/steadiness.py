"""Is a warm model really warm? Its first call after the warm-up must take what the warm-up measured. Pure.

Used by `optimize.compiled` with measured times; the answer is part of the report and of the condition Warm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TOLERANCE: Final = 1.1
"""A call may take so many times the warm median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """The slowest bucket's answer."""

    passed: bool
    ratio: float
    """Of the first call to the warm median; of the best of the calls, where the first ones were slower than allowed."""
    bucket: str
    """Which one, for people."""


def steadiness(buckets: Sequence[tuple[str, float, Sequence[float]]]) -> Steadiness:
    """Of (bucket, warm median seconds, seconds of the calls after it), at least one call each; no buckets = passed."""
    worst = Steadiness(passed=True, ratio=1.0, bucket="")
    for bucket, median, calls in buckets:
        ratio = min(calls) / median if median > 0 else 1.0
        if not worst.bucket or ratio > worst.ratio:
            worst = Steadiness(passed=ratio <= TOLERANCE, ratio=ratio, bucket=bucket)
    return worst
