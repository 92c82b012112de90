"""Whether a candidate serves as well as the stable revision, from the calls that gateways counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from atheria_operator.api.model import AnalysisPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFigures:
    """Calls of one revision: totals that only grow, or the difference of two such totals."""

    calls: int = 0
    """Answered calls."""
    errors: int = 0
    """Those of them that failed by the server's fault."""
    latency: Mapping[float, int] = field(default_factory=dict)
    """Upper bound of a bucket in seconds to the calls in it (not cumulative)."""

    def plus(self, other: CallFigures) -> CallFigures:
        """Both together."""
        latency = dict(self.latency)
        for bound, count in other.latency.items():
            latency[bound] = latency.get(bound, 0) + count
        return CallFigures(calls=self.calls + other.calls, errors=self.errors + other.errors, latency=latency)

    def since(self, earlier: CallFigures) -> CallFigures:
        """What was added after `earlier`; all of it where a counter began anew."""
        if self.calls < earlier.calls or self.errors < earlier.errors:
            return self
        latency = {
            bound: max(0, count - earlier.latency.get(bound, 0)) for bound, count in self.latency.items()
        }
        return CallFigures(
            calls=self.calls - earlier.calls,
            errors=self.errors - earlier.errors,
            latency={bound: count for bound, count in latency.items() if count},
        )

    @property
    def error_ratio(self) -> float:
        """Share of failed calls, from 0 to 1; 0 without calls."""
        return self.errors / self.calls if self.calls else 0.0

    @property
    def p95_seconds(self) -> float | None:
        """Time that 95 of 100 calls do not exceed, interpolated within its bucket; None without timed calls."""
        total = sum(self.latency.values())
        if not total:
            return None
        wanted, seen, low = 0.95 * total, 0, 0.0
        for bound in sorted(self.latency):
            count = self.latency[bound]
            if seen + count >= wanted:
                return low + (bound - low) * (wanted - seen) / count
            seen, low = seen + count, bound
        return low


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the figures say."""

    is_enough: bool
    """There are enough calls to judge."""
    is_worse: bool
    words: str
    """The numbers, for people."""


def judge(candidate: CallFigures, stable: CallFigures, policy: AnalysisPolicy) -> Verdict:
    """Compare both; without `policy.min_calls` of the candidate nothing is said against it."""
    if candidate.calls < policy.min_calls:
        words = f"{candidate.calls} calls, {policy.min_calls} are needed to judge"
        return Verdict(is_enough=False, is_worse=False, words=words)
    excess = candidate.error_ratio - stable.error_ratio
    words = (
        f"{candidate.error_ratio:.2%} of {candidate.calls} calls failed, {stable.error_ratio:.2%} of "
        f"{stable.calls} of the stable revision (allowed are {policy.max_error_ratio:.2%} more)"
    )
    is_worse = excess > policy.max_error_ratio
    mine, theirs = candidate.p95_seconds, stable.p95_seconds
    if mine is not None and theirs:
        words += (
            f"; p95 {mine * 1000:.4g} ms against {theirs * 1000:.4g} ms (allowed is {policy.max_p95_ratio:g} "
            "times that)"
        )
        is_worse = is_worse or mine > policy.max_p95_ratio * theirs
    return Verdict(is_enough=True, is_worse=is_worse, words=words)
