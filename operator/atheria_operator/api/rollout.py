"""From spec.rollout to a RolloutPolicy."""

from __future__ import annotations

from atheria_operator.api.durations import duration_seconds
from atheria_operator.api.model import AnalysisPolicy, RolloutPolicy, Strategy
from atheria_operator.api.types.rollout import Rollout


def rollout_policy(given: Rollout) -> RolloutPolicy:
    """The policy; durations in seconds."""
    return RolloutPolicy(
        strategy=Strategy(given.strategy),
        steps=tuple(given.steps),
        step_seconds=duration_seconds(given.stepDuration, "spec.rollout.stepDuration"),
        analysis=AnalysisPolicy(
            max_error_ratio=given.analysis.maxErrorRatio,
            max_p95_ratio=given.analysis.maxP95Ratio,
            max_quality_loss=given.analysis.maxQualityLoss,
            min_calls=given.analysis.minCalls,
        ),
        unschedulable_seconds=duration_seconds(given.unschedulableAfter, "spec.rollout.unschedulableAfter"),
        waits_for_stuck_pods=given.stuckPods == "wait",
        is_paused=given.pause,
        history_limit=given.revisionHistoryLimit,
    )
