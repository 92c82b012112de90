"""How a model follows the operator's settings: in its turn, and to the end once it has begun, whatever restarts meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.plan import Plan, build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.telemetry import Telemetry
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.state import Phase, RolloutState
from atheria_operator.domain.rollout.upgrade import Turn
from atheria_operator.domain.rollout.wave import Stage
from atheria_operator.domain.status.rollout import rollout_events, rollout_parts

Intents = Callable[..., ModelIntent]
NOW = "2026-01-01T01:00:00Z"
WAITS, GOES = Turn(), Turn(is_given=True)
V2 = ServerDefaults(image="server:v2")
CHANGES: dict[str, dict[str, Any]] = {
    "podTls": {"pod_tls": True},
    "tracing": {"telemetry": Telemetry(endpoint="http://collector:4317")},
    "logFormat": {"telemetry": Telemetry(log_format="json")},
    "image.pullPolicy": {"pull_policy": "Always"},
}


class Model:
    """One model in a cluster that does at once what a plan says; pods are as the test says."""

    def __init__(self, intent: ModelIntent, profile: HardwareProfile, image: str) -> None:
        self.intent = intent
        self.defaults = ServerDefaults(image=image)
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
        observed = Observed(children=self._objects, pods=tuple(self.pods))
        plan = build_plan(self.intent, self._profile, self.defaults, observed, self.state, outside)
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
    assert stage(made.settle()) is Stage.DONE
    assert made.state.phase is Phase.COMPLETE
    made.defaults = V2
    return made


@pytest.fixture
def settled(model: Model) -> Model:
    """It has all of the operator's settings, and does not follow the image."""
    model.defaults, model.follows = ServerDefaults(image="server:v1"), False
    return model


def stage(plan: Plan) -> Stage:
    return plan.upgrade.stage


def condition(plan: Plan) -> tuple[str, str]:
    found = next(one for one in rollout_parts(plan).conditions if one.type == "UpgradeAvailable")
    return found.reason, found.message


def test_before_its_turn_a_model_keeps_its_image_and_says_so(model: Model) -> None:
    before = model.state.active
    plan = model.settle()
    assert (plan.revision.name, plan.image, stage(plan)) == (before, "server:v1", Stage.WAITING)
    assert condition(plan)[0] == "WaitsForItsTurn"
    assert plan.upgrade.goes_first


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
    assert (stage(plan), plan.image) == (Stage.DONE, "server:v1")
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
    model.defaults = V2
    plan = model.settle()
    assert (stage(plan), plan.upgrade.goes_first) == (Stage.WAITING, False)
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


@pytest.mark.parametrize("value", CHANGES)
def test_other_settings_wait_for_their_turn_whether_the_image_is_followed_or_not(
    settled: Model, value: str
) -> None:
    before = settled.state.active
    settled.defaults = replace(settled.defaults, **CHANGES[value])
    plan = settled.settle()
    assert (plan.revision.name, stage(plan)) == (before, Stage.WAITING)
    assert not plan.upgrade.goes_first, "one at zero costs nothing and comes before it"
    reason, message = condition(plan)
    assert (reason, value in message) == ("WaitsForItsTurn", True)
    assert "image server" not in message
    settled.turn = GOES
    assert stage(settled.round()) is Stage.ROLLING
    # A new process knows of no turns.
    settled.turn = WAITS
    plan = settled.settle()
    assert plan.revision.name != before
    settled.pod(plan.revision.name)
    plan = settled.settle()
    assert (stage(plan), settled.state.active) == (Stage.DONE, plan.revision.name)
    assert condition(plan)[0] == "UpToDate"


def test_a_model_at_zero_goes_first_with_other_settings_and_takes_them_over_at_once(settled: Model) -> None:
    settled.pods.clear()
    settled.replicas = 0
    settled._objects["Deployment", settled.state.active]["spec"]["replicas"] = 0
    settled.defaults = replace(settled.defaults, pull_policy="Always")
    assert settled.settle().upgrade.goes_first
    settled.turn = GOES
    plan = settled.settle()
    assert (stage(plan), settled.state.active, settled.state.phase) == (
        Stage.DONE, plan.revision.name, Phase.STARTING,
    )  # fmt: skip


def test_a_canary_at_zero_keeps_no_place_until_a_call_wakes_it(intent: Intents, cpu: HardwareProfile) -> None:
    model = Model(intent(rollout={"strategy": "canary"}), cpu, "server:v1")
    model.follows = False
    old = model.round().revision.name
    model.pod(old)
    model.settle()
    model.pods.clear()
    model.replicas = 0
    model._objects["Deployment", old]["spec"]["replicas"] = 0
    model.defaults = replace(model.defaults, **CHANGES["logFormat"])
    assert stage(model.settle()) is Stage.WAITING
    model.turn = GOES
    new = model.round().revision.name
    model.turn = WAITS
    plan = model.settle()
    assert (model.state.active, model.state.candidate, model.state.phase) == (old, new, Phase.WAITING)
    assert stage(plan) is Stage.DONE, "it holds the place until somebody calls it"
    for name in (old, new):
        model._objects["Deployment", name]["spec"]["replicas"] = 1
    assert stage(model.round()) is Stage.ROLLING
    model.pod(new, ready=False, refusal="DigestMismatch: other bytes")
    assert stage(model.settle()) is Stage.FAILED


def test_one_on_its_way_says_what_its_pods_run_and_one_that_failed_says_so(model: Model) -> None:
    model.turn = GOES
    failing = model.round().revision.name
    model.turn = WAITS
    reason, message = condition(model.settle())
    assert (reason, "server:v1" in message, "server:v2" in message) == ("RollingOut", True, True)
    model.pod(failing, ready=False, refusal="DigestMismatch: other bytes")
    plan = model.settle()
    (found,) = [one for one in rollout_parts(plan).conditions if one.type == "UpgradeAvailable"]
    assert (found.status, found.reason) == ("True", "UpgradeFailed")
    assert found.message.startswith(
        "pods run the server image server:v1; the server image server:v2 was rolled"
    )
    after = {
        "conditions": [{"type": found.type, "status": found.status, "reason": found.reason, "message": ""}]
    }
    assert [event[1:3] for event in rollout_events({}, after)] == [(True, "UpgradeFailed")]


def test_settings_that_failed_are_named(settled: Model) -> None:
    settled.defaults = replace(settled.defaults, **CHANGES["tracing"])
    settled.turn = GOES
    failing = settled.round().revision.name
    settled.turn = WAITS
    reason, message = condition(settled.settle())
    assert (reason, "tracing" in message) == ("RollingOut", True)
    settled.pod(failing, ready=False, refusal="DigestMismatch: other bytes")
    reason, message = condition(settled.settle())
    assert (reason, "tracing" in message) == ("UpgradeFailed", True)


def test_a_model_in_its_turn_keeps_the_image_that_it_does_not_follow(settled: Model) -> None:
    settled.defaults = replace(V2, pull_policy="Always")
    reason, message = condition(settled.settle())
    assert (reason, "server:v2" in message) == ("WaitsForItsTurn", True)
    settled.turn = GOES
    plan = settled.settle()
    assert (plan.image, plan.newer_image, plan.newer_values) == ("server:v1", "server:v2", ())
    assert condition(plan)[0] == "NewServerImage"


def test_settings_that_failed_are_left_by_setting_the_value_back(settled: Model) -> None:
    before, good = settled.state.active, settled.defaults
    settled.defaults = replace(good, **CHANGES["tracing"])
    settled.turn = GOES
    failing = settled.round().revision.name
    settled.turn = WAITS
    settled.pod(failing, ready=False, refusal="DigestMismatch: other bytes")
    plan = settled.settle()
    assert (stage(plan), settled.state.active, settled.state.returned) == (Stage.FAILED, before, failing)
    settled.defaults = good
    plan = settled.settle()
    assert (stage(plan), plan.revision.name) == (Stage.DONE, before)


def test_settings_that_change_again_on_the_way_are_taken_without_another_turn(settled: Model) -> None:
    settled.defaults = replace(settled.defaults, **CHANGES["logFormat"])
    settled.turn = GOES
    first = settled.round().revision.name
    settled.turn = WAITS
    settled.defaults = replace(settled.defaults, pod_tls=True)
    plan = settled.settle()
    assert (stage(plan), plan.newer_values) == (Stage.ROLLING, ())
    assert settled.state.candidate == plan.revision.name != first


def test_a_revision_of_an_operator_that_wrote_less_counts_as_up_to_date(settled: Model) -> None:
    metadata = settled._objects["Deployment", settled.state.active]["metadata"]
    for text in (None, "no JSON", "[]", '{"telemetry": {"unknown": "x"}}'):
        metadata["annotations"].pop(names.ANNOTATION_SERVER_SETTINGS, None)
        if text is not None:
            metadata["annotations"][names.ANNOTATION_SERVER_SETTINGS] = text
        plan = settled.round()
        assert (stage(plan), condition(plan)[0]) == (Stage.DONE, "UpToDate")
        told = settled._objects["Deployment", settled.state.active]["metadata"]["annotations"]
        assert '"pullPolicy":"IfNotPresent"' in told[names.ANNOTATION_SERVER_SETTINGS]
