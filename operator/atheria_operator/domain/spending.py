"""What a model's pods have cost since this operator started, as a sum that only grows: what a counter of metrics needs.

The sums of `domain.cost` begin anew each day and go on from a stored status after a start, so they may fall.
`adapters.model_figures` feeds this with each status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from atheria_operator.domain.cost import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """By what the pods did."""

    pod_seconds: Mapping[str, float]
    """As they were last seen."""
    usd: Mapping[str, float] = field(default_factory=dict)
    """Since the first look."""


def spend(before: Spending | None, pod_seconds: Mapping[str, float], usd_per_hour: float) -> Spending:
    """The sums after another look; `usd_per_hour` is the price of one pod, seconds that fell are those of a new period.

    The first look only remembers: what was before it was counted by an earlier operator.
    """
    if before is None:
        return Spending(pod_seconds=dict(pod_seconds), usd=dict.fromkeys(pod_seconds, 0.0))
    usd = dict(before.usd)
    for kind, seconds in pod_seconds.items():
        known = before.pod_seconds.get(kind, 0.0)
        grown = seconds - known if seconds >= known else seconds
        usd[kind] = usd.get(kind, 0.0) + grown * usd_per_hour / SECONDS_PER_HOUR
    return Spending(pod_seconds=dict(pod_seconds), usd=usd)
