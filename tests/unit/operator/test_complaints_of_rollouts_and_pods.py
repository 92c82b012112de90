"""What users of other servers complain about, where rollouts and the rendered pods answer it; one test each, by its number.

docs/what-users-ask-for.md has the list with its sources; scaling and status are in test_complaints.py. 3 kserve#2882, 10 LLMKube#192
and kuberay#1476, 14 kserve#1741, 16 kserve#5085, 19 kthena#1589, 23 kserve#3085, 24 kserve#4505, 27 LitServe#628, 28 kopf#1185.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import (
    AnalysisPolicy,
    HardwareProfile,
    ModelIntent,
    Problem,
    RolloutPolicy,
    Strategy,
)
from atheria_operator.domain.desired.plan import build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults, build_pod_template
from atheria_operator.domain.observed import Observed, is_owned
from atheria_operator.domain.planning.devices import DEVICE_CONFLICT, device_problem
from atheria_operator.domain.pods import is_ready
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.decide import decide_rollout
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.state import (
    Phase,
    RevisionFacts,
    RolloutObservation,
    RolloutState,
)

Intents = Callable[..., ModelIntent]
Templates = Callable[..., dict[str, Any]]
NOW = "2026-01-01T01:00:00Z"
NO_ROOM = Problem(
    reason="Unschedulable", message="pod p cannot be placed: 0/1 nodes: Insufficient nvidia.com/gpu"
)


@pytest.fixture
def template(intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults) -> Templates:
    """The pod template of a spec."""
    return lambda **spec: build_pod_template(intent(**spec), cpu, defaults)


def pods(ready: int = 0, asked: int = 1, **more: Any) -> RevisionFacts:
    return RevisionFacts(exists=True, asked_pods=asked, ready_pods=ready, present_pods=asked, **more)


def test_complaint_3_a_pod_takes_calls_only_when_its_model_is_loaded_and_warm(template: Templates) -> None:
    container = template()["spec"]["containers"][0]
    # The server answers this with 200 only after load, warm-up and quality gate; the kubelet makes it the pod's readiness.
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    assert not is_ready({"metadata": {"name": "p"}, "status": running})


def test_complaint_10_a_rollout_without_a_spare_gpu_makes_room_instead_of_waiting_for_ever() -> None:
    policy, state = RolloutPolicy(unschedulable_seconds=60), RolloutState(active="a", since=NOW)
    phases = []
    for a, b in (
        (pods(1), pods(unplaced=NO_ROOM, unplaced_seconds=10)),
        (pods(1), pods(unplaced=NO_ROOM, unplaced_seconds=60)),
        (RevisionFacts(exists=True), pods()),
        (RevisionFacts(exists=True), pods(1)),
    ):
        seen = RolloutObservation(desired="b", revisions={"a": a, "b": b})
        state, decision = decide_rollout(state, seen, policy, NOW)
        phases.append(state.phase)
    assert phases == [Phase.WAITING, Phase.DRAINING, Phase.SWAPPING, Phase.COMPLETE]
    assert decision.weights == {"b": 100}


def test_complaint_14_all_pods_of_all_revisions_share_one_cache_of_the_model(template: Templates) -> None:
    claim = {"persistentVolumeClaim": {"claimName": "models"}}

    def cache(**spec: Any) -> tuple[Any, Any]:
        found = template(cache=claim, **spec)["spec"]
        (volume,) = (one for one in found["volumes"] if one["name"] == "cache")
        (mount,) = (one for one in found["containers"][0]["volumeMounts"] if one["name"] == "cache")
        return volume["persistentVolumeClaim"]["claimName"], mount["mountPath"]

    one, other = cache(), cache(batching={"maxBatchSize": 2})
    assert one == other == ("models", names.CACHE_DIRECTORY)


def test_complaint_16_a_new_operator_changes_no_running_pod(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    outside, model = Outside(now=NOW), intent()
    first = build_plan(model, cpu, defaults, Observed(), RolloutState(), outside)
    children = {(body["kind"], body["metadata"]["name"]): body for body in first.apply}
    newer = ServerDefaults(image="server:2")
    second = build_plan(model, cpu, newer, Observed(children=children), first.rollout, outside)
    assert (second.revision, second.apply, second.delete) == (first.revision, (), ())
    assert second.newer_image == "server:2"
    asked = Outside(now=NOW, follows_default_image=True)
    third = build_plan(model, cpu, newer, Observed(children=children), first.rollout, asked)
    assert third.revision != first.revision


def test_complaint_19_a_pod_that_goes_away_has_time_to_end_its_calls(
    intent: Intents, template: Templates
) -> None:
    serving = intent().serving
    grace_seconds = template()["spec"]["terminationGracePeriodSeconds"]
    # The kubelet kills after the grace; until then the server refuses nothing for a while, then ends what it accepted.
    assert grace_seconds > serving.drain_delay_seconds + serving.drain_timeout_seconds
    longer = template(podTemplate={"spec": {"terminationGracePeriodSeconds": 3600}})
    assert longer["spec"]["terminationGracePeriodSeconds"] == 3600


def test_complaint_23_a_canary_is_promoted_by_its_figures_and_no_share_is_left_behind() -> None:
    policy = RolloutPolicy(
        strategy=Strategy.CANARY, steps=(10, 100), step_seconds=0, analysis=AnalysisPolicy(min_calls=10)
    )
    good, bad = CallFigures(calls=100), CallFigures(calls=100, errors=50)

    def weights(state: RolloutState, *looks: CallFigures) -> list[dict[str, int]]:
        found = []
        for calls in looks:
            seen = RolloutObservation(
                desired="b", revisions={"a": pods(1, calls=good), "b": pods(1, calls=calls)}
            )
            state, decision = decide_rollout(state, seen, policy, NOW)
            # The whole traffic is said each time: nothing of an earlier canary can stay in it.
            assert sum(decision.weights.values()) == 100
            found.append({name: weight for name, weight in decision.weights.items() if weight})
        return found

    start = RolloutState(active="a", since=NOW)
    assert weights(start, CallFigures(), good) == [{"a": 90, "b": 10}, {"b": 100}]
    assert weights(start, CallFigures(), bad) == [{"a": 90, "b": 10}, {"a": 100}]


def test_complaint_24_a_whole_gpu_and_a_slice_in_one_pod_are_refused_with_what_to_remove(
    intent: Intents,
) -> None:
    sliced = HardwareProfile(name="a100-1g", resource_name="nvidia.com/mig-1g.5gb")
    model = {"name": names.CONTAINER_MODEL, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    problem = device_problem(intent(podTemplate={"spec": {"containers": [model]}}), sliced)
    assert problem is not None
    assert problem.reason == DEVICE_CONFLICT
    assert "nvidia.com/gpu and nvidia.com/mig-1g.5gb" in problem.message
    assert "remove the device" in problem.message
    assert device_problem(intent(), sliced) is None


def test_complaint_27_starting_serving_and_living_are_three_questions(template: Templates) -> None:
    container = template()["spec"]["containers"][0]
    paths = {
        probe: container[probe]["httpGet"]["path"].partition("?")[0]
        for probe in ("startupProbe", "livenessProbe")
    }
    # Liveness asks nothing before the start is over, and something else after it: a busy model is not killed for it.
    assert paths == {"startupProbe": "/v2/health/ready", "livenessProbe": "/v2/health/live"}
    start_seconds = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
    ready_seconds = (
        container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
    )
    assert ready_seconds < 10 < start_seconds


def test_complaint_28_the_models_objects_go_by_owner_references_and_none_has_a_finalizer(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    model = intent()
    plan = build_plan(model, cpu, defaults, Observed(), RolloutState(), Outside(now=NOW))
    assert len(plan.apply) == 5
    for body in plan.apply:
        assert is_owned(body, model.uid)
        assert "finalizers" not in body["metadata"]
