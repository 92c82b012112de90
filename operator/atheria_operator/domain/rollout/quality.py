"""Whether a candidate's output is as good as the stable revision's, by what the pods of both measured against their fp32 baselines.

Part of a canary's analysis (`decide`); `facts` reads the figures from the pods' reports. The tolerance of a metric is what its
quality gate allows: a relative error of at most the limit, an agreement of at least it, that is 1 - limit below a perfect one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

BASELINE: Final = "Baseline"
"""Verdict of a model that is served as it is: its agreements are 1 and its errors 0."""
_HIGHER: Final = "higher"
_WITHIN_NOISE: Final = "within noise"
_ROUNDING: Final = 1e-9
"""Reported values have six digits; differences of such numbers are no exact decimals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measurement of a variant against its fp32 baseline."""

    value: float
    is_higher_better: bool
    limit: float | None = None
    """Of its quality gate; None = it was only measured."""
    is_within_noise: bool = False
    """An error above its limit that the gate cannot tell from the limit."""

    @property
    def tolerance(self) -> float | None:
        """How far the gate lets the variant be from a perfect one; None where nobody can say.

        A metric where higher is better and whose limit is above 1 is none of agreement: what would be perfect is not known.
        """
        if self.limit is None or (self.is_higher_better and self.limit > 1):
            return None
        return max(0.0, 1 - self.limit if self.is_higher_better else self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFigures:
    """What a ready pod of a revision told."""

    metrics: Mapping[str, Metric] = field(default_factory=dict)
    is_baseline: bool = False
    """Nothing was made cheaper."""

    def value_of(self, name: str, *, is_higher_better: bool) -> float | None:
        """A metric's value; that of a perfect variant where this is the baseline; None = not measured."""
        if name in self.metrics:
            return self.metrics[name].value
        return float(is_higher_better) if self.is_baseline else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityVerdict:
    """What the comparison says."""

    is_worse: bool
    words: str
    """The numbers, for people; empty where nothing could be compared."""


def read_quality(part: Mapping[str, Any]) -> QualityFigures | None:
    """The part `quality` of a pod's report (`status.report.read_report`); None where it has none."""
    if not part:
        return None
    metrics = {
        str(one["name"]): Metric(
            value=float(one["value"]),
            is_higher_better=one["better"] == _HIGHER,
            limit=one.get("limit"),
            is_within_noise=one.get("outcome") == _WITHIN_NOISE,
        )
        for one in part.get("metrics") or ()
        if one.get("better")
    }
    return QualityFigures(metrics=metrics, is_baseline=part.get("reason") == BASELINE)


def compare_quality(
    candidate: QualityFigures | None, stable: QualityFigures | None, max_loss: float
) -> QualityVerdict:
    """Worse is a metric that lost more than `max_loss` times its tolerance, the smaller one where the gates differ.

    Only what both measured, or what the stable revision has because nothing was made cheaper there, is compared.
    """
    if candidate is None or stable is None:
        return QualityVerdict(is_worse=False, words="")
    compared: list[tuple[float, str, str]] = []
    for name, mine in candidate.metrics.items():
        theirs = stable.value_of(name, is_higher_better=mine.is_higher_better)
        tolerances = [
            metric.tolerance
            for metric in (mine, stable.metrics.get(name))
            if metric is not None and metric.tolerance is not None
        ]
        if theirs is None or not tolerances:
            continue
        allowed = max_loss * min(tolerances)
        value = mine.value
        if mine.is_within_noise and mine.limit is not None:
            value = min(value, mine.limit)
        loss = theirs - value if mine.is_higher_better else value - theirs
        words = f"{name} is {mine.value:.4g} against {theirs:.4g} of the stable revision (allowed is {allowed:.4g} worse)"
        compared.append((loss - allowed, name, words))
    if not compared:
        return QualityVerdict(is_worse=False, words="")
    # The one that is worst, or came closest to it.
    excess, _, words = max(compared)
    return QualityVerdict(is_worse=excess > _ROUNDING, words=words)
