"""From what the watches show to an Observation. Called by the scaling loop.

Ages of starting pods are measured on the monotonic clock since this operator first saw them: the wall clock may be put right.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from atheria_operator.domain.observed import Body, is_leaving
from atheria_operator.domain.pods import Told, is_ready, is_unschedulable, start_key, start_times
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.status.pod_events import NODE_IS_COMING


def first_seen(pods: tuple[Body, ...], before: Mapping[str, float], now_seconds: float) -> dict[str, float]:
    """Since when each pod that starts is known, by name; the others are forgotten."""
    starting = [str(pod["metadata"]["name"]) for pod in pods if not is_leaving(pod) and not is_ready(pod)]
    return {name: before.get(name, now_seconds) for name in starting}


def observation_of(
    *,
    status: Mapping[str, Any],
    pods: tuple[Body, ...],
    told: Mapping[str, Told],
    seen: Mapping[str, float],
    requested: int,
    actual: int,
    demand: Demand | None,
    now_seconds: float,
    wall_time: datetime,
) -> Observation:
    """What the decision sees; `status` is the model's, `told` by `pods.start_key`, `seen` from `first_seen`."""
    starting = [pod for pod in pods if pod["metadata"]["name"] in seen]
    cold_start = (status.get("coldStart") or {}).get("totalSeconds")
    price = (status.get("cost") or {}).get("usdPerHour")
    return Observation(
        requested_replicas=requested,
        actual_replicas=actual,
        ready_replicas=int(status.get("readyReplicas") or 0),
        demand=demand,
        starting_ages_seconds=tuple(
            now_seconds - seen[pod["metadata"]["name"]] for pod in starting if start_times(pod).scheduled
        ),
        unschedulable_replicas=sum(_has_no_node(pod, told) for pod in starting),
        cold_start_seconds=None if cold_start is None else float(cold_start),
        usd_per_pod_hour=None if price is None else float(price),
        wall_time=wall_time,
    )


def _has_no_node(pod: Body, told: Mapping[str, Told]) -> bool:
    """Whether no node is there for it and none is on its way."""
    words = told.get(start_key(pod), Told()).words
    return is_unschedulable(pod) and words.node_reason not in NODE_IS_COMING
