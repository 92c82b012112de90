"""What was measured of a variant against its baseline. The judgement over it is `core.quality_gate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One metric of a variant."""

    name: str
    """As limits name it: `F_16`, `C4`, `error:logits`."""
    value: float
    better: Literal["higher", "lower"]
    """`higher`: an agreement such as a fidelity; `lower`: an error."""
    standard_error: float = 0.0
    """Of `value` over the ensemble; an error counts as too large only where it is so by two of these, too."""
    baseline: float | None = None
    """What the metric is of the baseline, where it is a property of one state rather than of two."""
    variant: float | None = None
    """The same of the variant."""
