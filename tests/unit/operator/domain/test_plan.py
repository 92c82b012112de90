"""Observed and desired to a plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.plan import Plan, build_plan, contains
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.state import RolloutState

Intents = Callable[..., ModelIntent]
Planner = Callable[..., Plan]


@pytest.fixture
def planned(cpu: HardwareProfile, defaults: ServerDefaults) -> Planner:
    """Plans on the cpu profile."""

    def plan(
        intent: ModelIntent,
        observed: Observed | None = None,
        active: str = "",
        refused: str = "",
        state: RolloutState | None = None,
        **given: Any,
    ) -> Plan:
        before = state or RolloutState(active=active, returned=refused)
        outside = Outside(now="2026-01-01T01:00:00Z", **given)
        return build_plan(intent, cpu, defaults, observed or Observed(), before, outside)

    return plan


def as_observed(*bodies: Any, pods: tuple[Any, ...] = ()) -> Observed:
    """What the indexes hold once these were applied."""
    return Observed(children={(b["kind"], b["metadata"]["name"]): b for b in bodies}, pods=pods)


def old_deployment(intent: ModelIntent, cpu: HardwareProfile, defaults: ServerDefaults, replicas: int) -> Any:
    """The Deployment of a revision before."""
    body = build_deployment(intent, build_revision(intent, cpu, defaults))
    return {**body, "spec": {**body["spec"], "replicas": replicas}}


def ready_pod(revision_hash: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "labels": {names.LABEL_REVISION: revision_hash}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }  # fmt: skip


def test_a_new_model_gets_all_five_objects_and_its_revision_at_once(
    intent: Intents, planned: Planner
) -> None:
    plan = planned(intent())
    kinds = [body["kind"] for body in plan.apply]
    assert kinds == ["ServiceAccount", "ConfigMap", "Service", "Service", "Deployment"]
    assert plan.active_revision == plan.revision.name
    assert plan.revision.name == f"qca-{plan.revision.hash}"
    assert (plan.initial_replicas, plan.delete) == (1, ())
    assert "replicas" not in plan.apply[-1]["spec"]


def test_what_is_there_already_is_not_applied_again(intent: Intents, planned: Planner) -> None:
    first = planned(intent())
    live = [{**body, "status": {}, "extra": 1} for body in first.apply]
    again = planned(intent(), as_observed(*live), first.active_revision)
    assert again.apply == ()


def test_a_key_that_somebody_adds_to_what_a_service_selects_is_taken_out(
    intent: Intents, planned: Planner
) -> None:
    first = planned(intent())
    service = next(body for body in first.apply if body["kind"] == "Service" and "selector" in body["spec"])
    selector = {**service["spec"]["selector"], "edited": "by-hand"}
    edited = {**service, "spec": {**service["spec"], "selector": selector}}
    live = [edited if body is service else body for body in first.apply]
    assert planned(intent(), as_observed(*live), first.active_revision).apply == (service,)


def test_a_field_that_differs_or_an_annotation_of_another_intent_is_applied(
    intent: Intents, planned: Planner
) -> None:
    first = planned(intent())
    for change in (
        {"data": {names.CONFIG_FILE: "{}"}},
        {"metadata": {**first.apply[1]["metadata"], "annotations": {}}},
    ):
        live = [*first.apply[:1], {**first.apply[1], **change}, *first.apply[2:]]
        assert [b["kind"] for b in planned(intent(), as_observed(*live), first.active_revision).apply] == [
            "ConfigMap"
        ]


def test_an_object_of_another_owner_counts_as_missing(intent: Intents, planned: Planner) -> None:
    first = planned(intent())
    stolen = {**first.apply[0], "metadata": {**first.apply[0]["metadata"], "ownerReferences": []}}
    again = planned(intent(), as_observed(stolen, *first.apply[1:]), first.active_revision)
    assert [body["kind"] for body in again.apply] == ["ServiceAccount"]


@pytest.mark.parametrize(
    ("scaling", "replicas", "made"),
    [
        ({}, 0, 1),
        ({"initialReplicas": 0}, 0, 0),
        ({"initialReplicas": 5, "maxReplicas": 3}, 0, 3),
        ({"minReplicas": 2, "maxReplicas": 3}, 0, 2),
        ({"maxReplicas": 3}, 2, 2),
        ({"class": "external"}, 0, 0),
        ({"class": "external", "maxReplicas": 3}, 2, 2),
    ],
)
def test_a_new_model_starts_its_initial_replicas_within_its_bounds(
    intent: Intents, planned: Planner, scaling: dict[str, Any], replicas: int, made: int
) -> None:
    assert planned(intent(scaling=scaling, replicas=replicas)).initial_replicas == made


def test_a_deployment_that_was_lost_comes_back_with_what_is_requested(
    intent: Intents, planned: Planner
) -> None:
    first = planned(intent())
    assert planned(intent(replicas=0), None, first.active_revision).initial_replicas == 0
    assert planned(intent(replicas=1), None, first.active_revision).initial_replicas == 1


def test_the_old_revision_stays_active_until_the_new_one_has_a_ready_pod(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    old = old_deployment(intent(), cpu, defaults, replicas=2)
    changed = intent(batching={"maxBatchSize": 2}, rollout={"revisionHistoryLimit": 0})
    waiting = planned(changed, as_observed(old), old["metadata"]["name"])
    assert waiting.active_revision == old["metadata"]["name"]
    assert (waiting.initial_replicas, waiting.delete) == (2, ())
    new = old_deployment(changed, cpu, defaults, replicas=2)
    ready = planned(
        changed, as_observed(old, new, pods=(ready_pod(waiting.revision.hash),)), old["metadata"]["name"]
    )
    assert ready.active_revision == ready.revision.name
    # Kept until the switch is stored: the gateways read it there.
    assert ready.delete == ()
    stored = planned(
        changed, as_observed(old, new, pods=(ready_pod(waiting.revision.hash),)), state=ready.rollout
    )
    assert [body["metadata"]["name"] for body in stored.delete] == [old["metadata"]["name"]]


def test_at_zero_or_without_its_deployment_the_old_revision_is_left_at_once(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    old = old_deployment(intent(), cpu, defaults, replicas=0)
    changed = intent(batching={"maxBatchSize": 2})
    for observed in (as_observed(old), Observed()):
        plan = planned(changed, observed, old["metadata"]["name"])
        assert plan.active_revision == plan.revision.name


def failing_pod(revision_hash: str) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "message": "atheria-server: error: no module named nope"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        "metadata": {"name": "p", "labels": {names.LABEL_REVISION: revision_hash}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"containerStatuses": [{"name": "model", "state": waiting, "lastState": last, "restartCount": 2}]},
    }  # fmt: skip


def test_a_revision_that_took_over_at_zero_and_fails_gives_the_calls_back_and_the_old_one_was_kept(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    old = old_deployment(intent(), cpu, defaults, replicas=0)
    changed = intent(model={"source": "python://nope:X"})
    taken = planned(changed, as_observed(old), old["metadata"]["name"])
    new = old_deployment(changed, cpu, defaults, replicas=0)
    stored = planned(changed, as_observed(old, new), state=taken.rollout)
    assert (stored.active_revision, stored.delete) == (new["metadata"]["name"], ())
    woken = old_deployment(changed, cpu, defaults, replicas=1)
    failing = as_observed(old, woken, pods=(failing_pod(taken.revision.hash),))
    returned = planned(changed, failing, state=stored.rollout)
    assert (returned.active_revision, returned.delete) == (old["metadata"]["name"], ())


def test_calls_that_were_given_back_stay_there_while_the_new_revision_fails(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    old = old_deployment(intent(), cpu, defaults, replicas=0)
    changed = intent(model={"source": "python://nope:X"})
    new = old_deployment(changed, cpu, defaults, replicas=1)
    failing = as_observed(old, new, pods=(failing_pod(new["metadata"]["labels"][names.LABEL_REVISION]),))
    again = planned(changed, failing, old["metadata"]["name"])
    assert (again.active_revision, again.delete) == (old["metadata"]["name"], ())


def test_a_revision_that_was_refused_for_good_takes_no_calls_until_the_spec_is_another(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    old = old_deployment(intent(), cpu, defaults, replicas=0)
    changed = intent(precision={"policy": "nf4"})
    new = old_deployment(changed, cpu, defaults, replicas=0)
    old_name, new_name = old["metadata"]["name"], new["metadata"]["name"]
    at_zero = as_observed(old, new)
    assert planned(changed, at_zero, old_name).active_revision == new_name
    refused = planned(changed, at_zero, old_name, new_name)
    assert (refused.active_revision, refused.delete) == (old_name, ())
    assert refused.decision.may_run == {old_name}
    # Another spec is another revision.
    assert planned(intent(precision={"policy": "int8"}), at_zero, old_name, new_name).active_revision not in (
        old_name,
        new_name,
    )


def test_a_refused_revision_without_a_predecessor_keeps_its_calls(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    only = old_deployment(intent(), cpu, defaults, replicas=0)
    name = only["metadata"]["name"]
    assert planned(intent(), as_observed(only), name, name).active_revision == name


def test_of_several_older_revisions_the_one_that_was_ready_is_kept(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    def made(second: int, size: int) -> Any:
        body = old_deployment(intent(batching={"maxBatchSize": size}), cpu, defaults, replicas=0)
        return {**body, "metadata": {**body["metadata"], "creationTimestamp": f"2026-01-01T00:00:0{second}Z"}}

    proven, edited = made(1, 2), made(2, 3)
    newest = intent(batching={"maxBatchSize": 4}, rollout={"revisionHistoryLimit": 0})
    state = RolloutState(
        active=planned(newest).revision.name, is_proven=False, history=(proven["metadata"]["name"],)
    )
    plan = planned(newest, as_observed(proven, edited), state=state)
    assert [body["metadata"]["name"] for body in plan.delete] == [edited["metadata"]["name"]]


def test_going_back_to_the_active_revision_removes_the_one_that_never_came_up(
    intent: Intents, planned: Planner, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    failed = old_deployment(intent(batching={"maxBatchSize": 2}), cpu, defaults, replicas=1)
    active = old_deployment(intent(), cpu, defaults, replicas=1)
    pod = ready_pod(active["metadata"]["labels"][names.LABEL_REVISION])
    plan = planned(intent(), as_observed(failed, active, pods=(pod,)), active["metadata"]["name"])
    assert [body["metadata"]["name"] for body in plan.delete] == [failed["metadata"]["name"]]


@pytest.mark.parametrize(
    ("live", "desired", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": {}}, True),
        ({}, {"a": False}, False),
        ({}, {"a": 1}, False),
    ],
)
def test_contains_ignores_what_others_added(live: Any, desired: Any, expected: bool) -> None:
    assert contains(live, desired) is expected
