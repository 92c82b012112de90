"""Metric latency: the mean time of a call, held and computed, against its objective. Called by `decide`.

ready x latency / objective, as the horizontal pod autoscaler scales by a ratio: within 10 % nothing changes, and no step is above twofold.
Ready pods, not those asked for, are multiplied, so that a slow start does not multiply itself (as llm-d's law does).
"""

from __future__ import annotations

from typing import Final

from atheria_operator.api.model import ScalingPolicy
from atheria_operator.domain.scaling.by_load import by_queue
from atheria_operator.domain.scaling.need import Need, Sight
from atheria_operator.domain.scaling.windows import mean_latency_seconds

_TOLERANCE: Final = 0.1
_MOST_RATIO: Final = 2.0


def by_latency(sight: Sight, policy: ScalingPolicy) -> Need:
    """The ratio law; the law of queueDepth where no call has ended, no pod is ready, or the work alone takes too long."""
    seen = sight.observation
    objective = policy.target_latency_seconds
    latency = mean_latency_seconds(sight.marks)
    load = by_queue(sight, policy)
    if latency is None or seen.ready_replicas == 0:
        return load
    if sight.service_seconds is not None and sight.service_seconds >= objective:
        return Need(
            steady=load.steady,
            total=load.total,
            formula=f"a call takes {sight.service_seconds:.3g} s of work alone, at least latencyTarget {objective:g} s, which no number "
            f"of pods mends: {load.formula}",
        )
    ratio = min(_MOST_RATIO, latency / objective)
    if abs(ratio - 1) <= _TOLERANCE:
        pods = float(seen.current)
    else:
        pods = seen.ready_replicas * ratio
        if ratio > 1:
            pods = max(pods, float(seen.current))
    return Need(
        steady=pods,
        total=pods,
        formula=f"{seen.ready_replicas} ready x {latency:.3g} s / {objective:g} s (at most {_MOST_RATIO:g}, unchanged within "
        f"{_TOLERANCE:.0%})",
    )
