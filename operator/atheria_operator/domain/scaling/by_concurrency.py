"""Metric concurrency: the mean of the calls, as Knative's autoscaler has it. Called by `decide`.

ceil(mean / (target x utilisation)) over the stable window. Panic: the short window needs at least panicThreshold times the ready pods;
then the higher of both counts, and nothing is lowered until a stable window after the last such moment
(knative/serving, pkg/autoscaler/scaling/autoscaler.go).
"""

from __future__ import annotations

import math

from atheria_operator.api.model import ScalingPolicy
from atheria_operator.domain.scaling.need import Need, Sight
from atheria_operator.domain.scaling.windows import mean_calls


def is_over(sight: Sight, policy: ScalingPolicy) -> bool:
    """Whether the short window is over the panic threshold."""
    pods = math.ceil(
        mean_calls(sight.marks, policy.panic_window_seconds)
        / (policy.target_calls * policy.target_utilization)
    )
    return pods / max(1, sight.observation.ready_replicas) >= policy.panic_threshold


def by_concurrency(sight: Sight, policy: ScalingPolicy, *, is_panic: bool) -> Need:
    """Mean calls over target and utilisation; in panic at least the pods that there are."""
    filled = policy.target_calls * policy.target_utilization
    stable = mean_calls(sight.marks, policy.stable_window_seconds)
    short = mean_calls(sight.marks, policy.panic_window_seconds)
    pods = stable / filled
    words = f"{stable:.3g} / ({policy.target_calls:g} x {policy.target_utilization:g})"
    if is_panic:
        pods = max(pods, short / filled, float(sight.observation.current))
        words = f"panic: max({stable:.3g}, {short:.3g}) / ({policy.target_calls:g} x {policy.target_utilization:g}), at least {sight.observation.current}"
    return Need(steady=pods, total=pods, formula=words)
