"""How a model follows a new default image: in its turn, and to the end once it has begun, whatever restarts meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.plan import Plan, build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.state import Phase, RolloutState
from atheria_operator.domain.rollout.upgrade import Turn
from atheria_operator.domain.rollout.wave import Stage
from atheria_operator.domain.status.rollout import rollout_events, rollout_parts

Intents = Callable[..., ModelIntent]
NOW = "2026-01-01T01:00:00Z"
WAITS, GOES = Turn(), Turn(is_given=True)


class Model:
    """One model in a cluster that does at once what a plan says; pods are as the test says."""

    def __init__(self, intent: ModelIntent, profile: HardwareProfile, image: str) -> None:
        self.intent = intent
        self.image = image
        self.turn = WAITS
        self.follows = True
        self.command = ""
        self.state = RolloutState()
        self.pods: list[dict[str, Any]] = []
        self.replicas = 1
        self._profile = profile
        self._objects: dict[tuple[str, str], Any] = {}

    def round(self) -> Plan:
        outside = Outside(
            now=NOW, follows_default_image=self.follows, turn=self.turn, command_text=self.command
        )
        defaults = ServerDefaults(image=self.image)
        observed = Observed(children=self._objects, pods=tuple(self.pods))
        plan = build_plan(self.intent, self._profile, defaults, observed, self.state, outside)
        self.state = plan.rollout
        for body in plan.apply:
            kind, name = body["kind"], body["metadata"]["name"]
            known = self._objects.get((kind, name), {"spec": {"replicas": self.replicas}})
            spec = {**body.get("spec", {}), "replicas": known.get("spec", {}).get("replicas")}
            self._objects[kind, name] = {**body, "spec": spec}
        for body in plan.delete:
            del self._objects[body["kind"], body["metadata"]["name"]]
        return plan

    def settle(self) -> Plan:
        for _ in range(5):
            plan = self.round()
        return plan

    def pod(self, revision: str, *, ready: bool = True, refusal: str = "") -> None:
        state = {"terminated": {"exitCode": 1, "message": f"atheria-server: error: {refusal}"}}
        self.pods.append(
            {
                "metadata": {
                    "name": f"{revision}-0",
                    "labels": {names.LABEL_REVISION: revision.rpartition("-")[2]},
                    "creationTimestamp": NOW,
                },
                "status": {
                    "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                    "containerStatuses": [
                        {"name": names.CONTAINER_MODEL, "ready": ready, "state": state if refusal else {}}
                    ],
                },
            }
        )


@pytest.fixture
def model(intent: Intents, cpu: HardwareProfile) -> Model:
    """It runs image v1; the operator's default is v2 now."""
    made = Model(intent(), cpu, "server:v1")
    made.pod(made.round().revision.name)
    assert made.settle().upgrade is not None
    assert made.state.phase is Phase.COMPLETE
    made.image = "server:v2"
    return made


def stage(plan: Plan) -> Stage:
    assert plan.upgrade is not None
    return plan.upgrade.stage


def condition(plan: Plan) -> tuple[str, str]:
    found = next(one for one in rollout_parts(plan).conditions if one.type == "UpgradeAvailable")
    return found.reason, found.message


def test_before_its_turn_a_model_keeps_its_image_and_says_so(model: Model) -> None:
    before = model.state.active
    plan = model.settle()
    assert (plan.revision.name, plan.image, stage(plan)) == (before, "server:v1", Stage.WAITING)
    assert condition(plan)[0] == "WaitsForItsTurn"
    assert plan.upgrade is not None
    assert plan.upgrade.has_pods


def test_in_its_turn_it_rolls_out_and_goes_on_without_one(model: Model) -> None:
    before = model.state.active
    model.turn = GOES
    assert stage(model.round()) is Stage.ROLLING
    # A new process knows of no turns.
    model.turn = WAITS
    plan = model.settle()
    assert (stage(plan), plan.image) == (Stage.ROLLING, "server:v2")
    assert plan.revision.name != before
    model.pod(plan.revision.name)
    plan = model.settle()
    assert (stage(plan), model.state.active) == (Stage.DONE, plan.revision.name)
    assert condition(plan)[0] == "UpToDate"


def test_one_that_was_rolled_back_stays_so_until_it_is_promoted_or_its_spec_changes(
    model: Model, intent: Intents
) -> None:
    before = model.state.active
    model.turn = GOES
    failing = model.round().revision.name
    model.turn = WAITS
    model.pod(failing, ready=False, refusal="DigestMismatch: other bytes")
    plan = model.settle()
    assert (stage(plan), model.state.active, model.state.returned) == (Stage.FAILED, before, failing)
    model.pods = model.pods[:1]
    model.command = "promote"
    assert stage(model.round()) is Stage.ROLLING
    model.command = ""
    model.pod(failing, ready=False, refusal="DigestMismatch: other bytes")
    assert stage(model.settle()) is Stage.FAILED
    model.intent = replace(intent(concurrency={"maxQueueDepth": 7}), requested_replicas=1)
    plan = model.settle()
    assert (stage(plan), plan.image) == (Stage.ROLLING, "server:v2")


def test_one_that_does_not_follow_any_more_is_out_and_keeps_its_image(model: Model) -> None:
    model.turn = GOES
    model.round()
    model.turn, model.follows = WAITS, False
    plan = model.settle()
    assert (plan.upgrade, plan.image) == (None, "server:v1")
    assert condition(plan)[0] == "NewServerImage"


def test_a_model_at_zero_takes_over_at_once_and_counts_again_when_a_call_wakes_it(
    intent: Intents, cpu: HardwareProfile
) -> None:
    model = Model(intent(), cpu, "server:v1")
    model.replicas = 0
    model.round()
    model.pod(model.state.active)
    model.settle()
    model.pods.clear()
    model.image = "server:v2"
    assert stage(model.settle()) is Stage.WAITING
    model.turn = GOES
    plan = model.settle()
    assert (stage(plan), model.state.active, model.state.phase) == (
        Stage.DONE, plan.revision.name, Phase.STARTING,
    )  # fmt: skip
    model.pod(plan.revision.name, ready=False)
    deployment = model._objects["Deployment", plan.revision.name]
    deployment["spec"]["replicas"] = 1
    assert stage(model.round()) is Stage.ROLLING


def test_a_change_of_the_spec_is_no_upgrade(model: Model, intent: Intents) -> None:
    changed = replace(intent(concurrency={"maxQueueDepth": 7}), requested_replicas=1)
    model.intent = changed
    plan = model.round()
    # Its own rollout comes first, with the image that it has.
    assert (stage(plan), plan.image) == (Stage.BUSY, "server:v1")
    model.pod(plan.revision.name)
    assert stage(model.settle()) is Stage.WAITING
    model.turn = GOES
    model.pod(model.round().revision.name)
    assert stage(model.settle()) is Stage.DONE
    model.intent = replace(intent(concurrency={"maxQueueDepth": 9}), requested_replicas=1)
    plan = model.round()
    assert (stage(plan), model.state.candidate) == (Stage.DONE, plan.revision.name)


def test_who_waits_says_that_upgrades_are_stopped_and_there_is_one_event(model: Model) -> None:
    def status(plan: Plan) -> dict[str, Any]:
        conditions = [
            {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
            for one in rollout_parts(plan).conditions
        ]
        return {"conditions": conditions, "activeRevision": plan.active_revision}

    waiting = status(model.settle())
    model.turn = Turn(stopped_by="demo/other")
    plan = model.settle()
    reason, message = condition(plan)
    assert reason == "UpgradesStopped"
    assert "demo/other was rolled back" in message
    stopped = status(plan)
    assert [event[1:3] for event in rollout_events(waiting, stopped)] == [(True, "UpgradesStopped")]
    assert rollout_events(stopped, stopped) == []
