"""What was measured of a variant against its baseline. The judgement over it is `core.quality_gate`.

Made by `optimize.quality`, by models that offer `compare`, and by a user's own metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class QualityError(ValueError):
    """A variant cannot be judged: wrong settings, a comparison that fails, or a baseline that is no yardstick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One metric of a variant."""

    name: str
    """As limits name it: `F_16`, `C4_16`, `error:logits`."""
    value: float
    better: Literal["higher", "lower"]
    """`higher`: an agreement such as a fidelity; `lower`: an error."""
    standard_error: float = 0.0
    """Of `value` over the ensemble; an error counts as too large only where it is so by two of these, too."""
    baseline: float | None = None
    """What the metric is of the baseline, where it is a property of one state rather than of two."""
    variant: float | None = None
    """The same of the variant."""


def relative_error(
    name: str, baseline: Sequence[float], variant: Sequence[float], *, floor: float
) -> Measurement:
    """e = |mean variant - mean baseline| / max(|mean baseline|, floor) of a number that each sample has.

    Sample i of both is the same input, so the standard error is that of the mean of the differences, over the same
    denominator: what all samples share cancels. `floor` keeps a number near zero from making a difference of nothing
    look large. Raises QualityError for an unequal or empty ensemble and a floor that is not positive.
    """
    if len(baseline) != len(variant) or not baseline:
        raise QualityError(
            f"{name} has {len(baseline)} samples of the baseline and {len(variant)} of the variant; "
            "expected equally many of both, at least 1"
        )
    if not floor > 0:
        raise QualityError(f"the floor of {name} is {floor}; expected a number above 0")
    samples = len(baseline)
    differences = [float(v) - float(b) for b, v in zip(baseline, variant, strict=True)]
    mean_baseline = sum(baseline) / samples
    mean_difference = sum(differences) / samples
    spread = sum((difference - mean_difference) ** 2 for difference in differences)
    scale = max(abs(mean_baseline), floor)
    return Measurement(
        name=name,
        value=abs(mean_difference) / scale,
        better="lower",
        standard_error=math.sqrt(spread / (samples - 1) / samples) / scale if samples > 1 else 0.0,
        baseline=float(mean_baseline),
        variant=float(mean_baseline + mean_difference),
    )
