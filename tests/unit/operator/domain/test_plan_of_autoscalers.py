"""The HorizontalPodAutoscaler in the plan: made with class hpa, put right, and deleted before another class decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.plan import Plan, build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.state import RolloutState

Intents = Callable[..., ModelIntent]
Planner = Callable[..., Plan]
HPA = {"class": "hpa", "maxReplicas": 4}


@pytest.fixture
def planned(cpu: HardwareProfile, defaults: ServerDefaults) -> Planner:
    """Plans on the cpu profile, with what the API server has."""

    def plan(intent: ModelIntent, *live: Any) -> Plan:
        observed = Observed(children={(body["kind"], body["metadata"]["name"]): body for body in live})
        outside = Outside(now="2026-01-01T01:00:00Z")
        return build_plan(intent, cpu, defaults, observed, RolloutState(), outside)

    return plan


def test_class_hpa_alone_has_an_autoscaler(intent: Intents, planned: Planner) -> None:
    plan = planned(intent(scaling=HPA))
    assert [body["kind"] for body in plan.apply][-1] == "HorizontalPodAutoscaler"
    # As with class atheria a new model is warm before its first call.
    assert plan.initial_replicas == 1
    for of in ("atheria", "keda", "external"):
        kinds = [body["kind"] for body in planned(intent(scaling={"class": of})).apply]
        assert "HorizontalPodAutoscaler" not in kinds


def test_what_the_api_server_adds_makes_no_work_and_what_somebody_changes_is_put_right(
    intent: Intents, planned: Planner
) -> None:
    wanted = intent(scaling=HPA)
    live = planned(wanted).apply
    stored = {**live[-1], "status": {"desiredReplicas": 3}}
    assert planned(wanted, *live[:-1], stored).apply == ()
    changed = {**stored, "spec": {**stored["spec"], "maxReplicas": 40}}
    (again,) = planned(wanted, *live[:-1], changed).apply
    assert again["spec"]["maxReplicas"] == 4


@pytest.mark.parametrize("of", ["atheria", "keda", "external"])
def test_an_autoscaler_goes_with_its_class(intent: Intents, planned: Planner, of: str) -> None:
    live = planned(intent(scaling=HPA)).apply
    plan = planned(intent(scaling={"class": of, "maxReplicas": 4}), *live)
    assert [body["kind"] for body in plan.retire] == ["HorizontalPodAutoscaler"]
    assert plan.delete == ()


def test_somebody_elses_autoscaler_and_one_that_goes_are_left_alone(
    intent: Intents, planned: Planner
) -> None:
    made = planned(intent(scaling=HPA)).apply[-1]
    # KEDA copies the labels of a ScaledObject to the one that it makes itself.
    theirs = {**made, "metadata": {**made["metadata"], "name": "keda-hpa-qca", "ownerReferences": []}}
    going = {**made, "metadata": {**made["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert planned(intent(scaling={"class": "keda"}), theirs, going).retire == ()
