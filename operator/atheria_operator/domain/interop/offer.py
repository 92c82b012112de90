"""What a HorizontalPodAutoscaler or KEDA is told of a model's calls. Made by the scaling loop, read by the adapters that answer them.

Both divide a sum by a target a pod, so the sum is what the calls are now or were on average, whichever is more: they look every 15 s,
and a burst between two looks must not be missed. What is not known is not told, and then both keep what there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atheria_operator.api.model import ScalingMetric, ScalingPolicy
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.windows import Mark, arrivals_in, mean_calls

METRIC_CALLS: Final = "atheria_calls"
"""Calls held and in flight."""
METRIC_CALLS_PER_SECOND: Final = "atheria_calls_per_second"
METRICS: Final = (METRIC_CALLS, METRIC_CALLS_PER_SECOND)
LABEL_MODEL: Final = "model"
"""Label of the metric: the model's name; its namespace is that of the request."""
ACTIVE_SECONDS: Final = 10.0
"""A model counts as called for so long after its last call: KEDA looks every 5 s, and a short call must not be missed."""

_SILENCE: Final = "no gateway has reported for 3 s"
_PART: Final = "a gateway has gone silent"
_UNSEEN: Final = "the calls of the model have not been looked at yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One model's calls as the scaling loop saw them last."""

    metric: str
    """METRIC_CALLS or METRIC_CALLS_PER_SECOND."""
    value: float
    """The highest of the averages over both windows."""
    last_call_seconds: float | None
    """When a call was last seen, on the operator's monotonic clock; None = not since it looks."""

    @property
    def is_settled(self) -> bool:
        """Without further calls it will stay as it is."""
        return self.value == 0


class NoReading(Exception):  # noqa: N818 - not an error: nothing is known, so nothing is said
    """Nothing is known of the model's calls now; the message says why."""


def metric_of(metric: ScalingMetric) -> str:
    """What a model's policy has others count."""
    return METRIC_CALLS_PER_SECOND if metric is ScalingMetric.REQUESTS_PER_SECOND else METRIC_CALLS


def target_of(policy: ScalingPolicy) -> float:
    """What one pod takes of it, with the room that `targetUtilization` leaves."""
    return policy.target_calls * policy.target_utilization


def offer_of(
    marks: tuple[Mark, ...], policy: ScalingPolicy, before: Offer | None, pods: int, now_seconds: float
) -> Offer | None:
    """What is to be told now; None where the calls are not known.

    `marks` are the state's after a decision, `before` the offer made last, `pods` those asked for.
    """
    if not marks or not marks[-1].is_known:
        return None
    windows = (policy.stable_window_seconds, policy.panic_window_seconds)
    metric = metric_of(policy.metric)
    if metric == METRIC_CALLS:
        value = max(mean_calls(marks, seconds) for seconds in windows)
    else:
        value = max(arrivals_in(marks, seconds).per_second for seconds in windows)
    return Offer(metric=metric, value=value, last_call_seconds=_last_call(marks, before, pods, now_seconds))


def value_of(offer: Offer | None, demand: Demand | None) -> tuple[str, float]:
    """The metric's name and value now. Raises NoReading, also where a part of the calls is unknown: less must not be told."""
    if demand is None:
        raise NoReading(_SILENCE)
    if not demand.is_complete:
        raise NoReading(_PART)
    if offer is None:
        raise NoReading(_UNSEEN)
    is_of_now = offer.metric == METRIC_CALLS and demand.calls > offer.value
    return offer.metric, float(demand.calls) if is_of_now else offer.value


def is_active(offer: Offer | None, demand: Demand | None, now_seconds: float) -> bool:
    """Whether a call waits, is computed, or was until lately. Raises NoReading where that cannot be said."""
    if demand is None:
        raise NoReading(_SILENCE)
    if demand.calls:
        return True
    if not demand.is_complete:
        raise NoReading(_PART)
    if offer is None:
        raise NoReading(_UNSEEN)
    last = offer.last_call_seconds
    return last is not None and 0 <= now_seconds - last < ACTIVE_SECONDS


def _last_call(marks: tuple[Mark, ...], before: Offer | None, pods: int, now_seconds: float) -> float | None:
    newest = marks[-1]
    has_come = len(marks) > 1 and newest.arrivals > marks[-2].arrivals
    if newest.calls or has_come:
        return now_seconds
    if before is not None:
        return before.last_call_seconds
    # What was before this loop began is unknown: pods that run may have been called a moment ago.
    return now_seconds if pods else None
