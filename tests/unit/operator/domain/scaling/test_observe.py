"""Pods as the watches show them, and what the decision sees of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from atheria_operator.domain.pods import Told
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.observe import first_seen, observation_of
from atheria_operator.domain.status.pod_events import PodWords

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z"}


def pod(name: str, *conditions: dict[str, Any], leaving: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": name}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:10Z"
    return {"metadata": metadata, "status": {"conditions": list(conditions)}}


def seen(
    *pods: dict[str, Any],
    ages: dict[str, float],
    told: dict[str, Told] | None = None,
    replicas: int = 0,
    **status: Any,
) -> Observation:
    now = 100.0
    return observation_of(
        status=status,
        pods=pods,
        told=told or {},
        seen={name: now - age for name, age in ages.items()},
        requested=replicas,
        actual=replicas,
        demand=None,
        now_seconds=now,
        wall_time=NOW,
    )


def test_only_pods_that_start_are_remembered_and_since_the_first_look() -> None:
    pods = (pod("starts", SCHEDULED), pod("serves", SCHEDULED, READY), pod("leaves", SCHEDULED, leaving=True))
    known = first_seen(pods, {}, 10.0)
    assert known == {"starts": 10.0}
    assert first_seen(pods, known, 20.0) == {"starts": 10.0}
    assert first_seen((), known, 30.0) == {}


def test_pods_with_a_node_have_an_age_and_those_without_one_are_counted() -> None:
    observation = seen(
        pod("starts", SCHEDULED), pod("stuck", NO_NODE), ages={"starts": 7.0, "stuck": 50.0}, readyReplicas=2
    )
    assert observation.starting_ages_seconds == (7.0,)
    assert observation.unschedulable_replicas == 1
    assert observation.ready_replicas == 2


def test_a_pod_whose_node_is_on_its_way_is_not_stuck() -> None:
    coming = Told(words=PodWords(node_reason="TriggeredScaleUp"))
    observation = seen(pod("waits", NO_NODE), ages={"waits": 5.0}, told={"waits/": coming})
    assert observation.unschedulable_replicas == 0


def test_pods_that_do_not_exist_yet_begin_now_and_stuck_ones_help_nobody() -> None:
    observation = seen(
        pod("starts", SCHEDULED),
        pod("stuck", NO_NODE),
        ages={"starts": 7.0, "stuck": 9.0},
        replicas=5,
        readyReplicas=1,
    )
    assert observation.fleet.starting_ages_seconds == (7.0, 0.0, 0.0)


def test_the_start_and_the_price_are_those_that_were_measured() -> None:
    observation = seen(ages={}, coldStart={"totalSeconds": 12.0}, cost={"usdPerHour": 0.7})
    assert (observation.cold_start_seconds, observation.usd_per_pod_hour) == (12.0, 0.7)
    unknown = seen(ages={}, cost={"seconds": 3.0})
    assert (unknown.cold_start_seconds, unknown.usd_per_pod_hour) == (None, None)
