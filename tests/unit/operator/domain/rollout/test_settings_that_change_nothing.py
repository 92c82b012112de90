"""Settings that a model's own spec, its profile or its runtime overrides are none of its affair, and what older operators made is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.telemetry import Telemetry
from atheria_operator.domain.rollout.state import Phase
from atheria_operator.domain.rollout.wave import Stage
from tests.unit.operator.domain.rollout.test_upgrade import CHANGES, GOES, V2, WAITS, Model, condition, stage

Intents = Callable[..., ModelIntent]
REFUSAL = "DigestMismatch: other bytes"
NEVER = {"spec": {"containers": [{"name": names.CONTAINER_MODEL, "imagePullPolicy": "Never"}]}}


def serving(intent: ModelIntent, profile: HardwareProfile) -> Model:
    model = Model(intent, profile, "server:v1")
    model.follows = False
    model.pod(model.round().revision.name)
    assert stage(model.settle()) is Stage.DONE
    assert model.state.phase is Phase.COMPLETE
    return model


def fail_own_change(model: Model, intent: ModelIntent) -> None:
    """Its user changes the spec, and that is refused."""
    model.intent = intent
    revision = model.round().rollout.candidate
    assert revision
    model.pod(revision, ready=False, refusal=REFUSAL)
    model.settle()
    assert model.state.returned == revision


def forget_settings(model: Model) -> None:
    """As an operator from before these waves left the Deployments."""
    for (kind, _), body in model._objects.items():
        if kind == "Deployment":
            del body["metadata"]["annotations"][names.ANNOTATION_SERVER_SETTINGS]


@pytest.mark.parametrize("changes", ["before", "meanwhile"])
def test_an_own_change_that_fails_stops_nobody_where_the_chart_changed_what_the_pod_template_sets(
    intent: Intents, cpu: HardwareProfile, changes: str
) -> None:
    model = serving(intent(podTemplate=NEVER), cpu)
    if changes == "before":
        model.defaults = replace(model.defaults, pull_policy="Always")
        assert stage(model.settle()) is Stage.DONE
        told = model._objects["Deployment", model.state.active]["metadata"]["annotations"]
        assert '"pullPolicy":"Always"' in told[names.ANNOTATION_SERVER_SETTINGS]
    model.intent = intent(podTemplate=NEVER, batching={"maxBatchSize": 3})
    plan = model.round()
    assert (stage(plan), plan.rollout.candidate) == (Stage.DONE, plan.revision.name)
    model.defaults = replace(model.defaults, pull_policy="Always")
    model.pod(plan.revision.name, ready=False, refusal=REFUSAL)
    plan = model.settle()
    assert (stage(plan), plan.rollout.phase) == (Stage.DONE, Phase.ROLLED_BACK)


def test_an_own_change_that_fails_stops_nobody_where_the_profile_has_its_own_image(
    intent: Intents, cpu: HardwareProfile
) -> None:
    model = serving(intent(), replace(cpu, image="mine:1"))
    model.follows, model.defaults = True, V2
    assert stage(model.settle()) is Stage.DONE
    fail_own_change(model, intent(batching={"maxBatchSize": 3}))
    assert stage(model.settle()) is Stage.DONE


@pytest.mark.parametrize("value", ["tracing", "logFormat", "image.pullPolicy"])
def test_a_rollback_under_an_older_operator_does_not_let_its_model_skip_the_line(
    intent: Intents, cpu: HardwareProfile, value: str
) -> None:
    model = serving(intent(), cpu)
    fail_own_change(model, intent(batching={"maxBatchSize": 3}))
    active, given_up = model.state.active, model.state.returned
    forget_settings(model)
    assert stage(model.settle()) is Stage.DONE
    model.defaults = replace(model.defaults, **CHANGES[value])
    plan = model.settle()
    assert (model.state.active, model.state.returned, model.state.candidate) == (active, given_up, "")
    assert stage(plan) is Stage.BUSY
    reason, message = condition(plan)
    assert (reason, value in message) == ("WaitsForItsTurn", True)


@pytest.mark.parametrize("value", ["tracing", "logFormat", "image.pullPolicy"])
def test_settings_that_change_together_with_the_upgrade_from_an_older_operator_wait_for_their_turn(
    intent: Intents, cpu: HardwareProfile, value: str
) -> None:
    model = serving(intent(), cpu)
    before = model.state.active
    forget_settings(model)
    model.defaults = replace(model.defaults, **CHANGES[value])
    plan = model.settle()
    assert (stage(plan), plan.revision.name) == (Stage.WAITING, before)
    model.turn = GOES
    model.pod(model.round().revision.name)
    model.turn = WAITS
    assert stage(model.settle()) is Stage.DONE


TELEMETRY: dict[str, Telemetry] = {
    "spans": Telemetry(endpoint="http://collector:4317"),
    "spans by HTTP with a Secret": Telemetry(
        endpoint="https://collector:4318", protocol="http/protobuf", secret_name="keys"
    ),
    "spans and JSON": Telemetry(endpoint="http://collector:4317", log_format="json"),
    "JSON": Telemetry(log_format="json"),
}


@pytest.mark.parametrize("name", TELEMETRY)
def test_the_settings_of_a_revision_without_the_annotation_are_read_from_its_pods(
    intent: Intents, cpu: HardwareProfile, name: str
) -> None:
    model = Model(intent(), cpu, "server:v1")
    model.follows = False
    model.defaults = replace(model.defaults, telemetry=TELEMETRY[name])
    model.pod(model.round().revision.name)
    before = model.settle().revision.name
    forget_settings(model)
    model.defaults = replace(model.defaults, telemetry=Telemetry())
    plan = model.settle()
    assert (stage(plan), plan.revision.name) == (Stage.WAITING, before)


def test_variables_of_the_users_own_change_nothing_when_the_operator_is_replaced(
    intent: Intents, cpu: HardwareProfile
) -> None:
    variables = [
        {"name": "MINE", "value": "x"},
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://mine:4317"},
        {"name": names.ENV_LOG_FORMAT, "value": "json"},
    ]
    own: dict[str, Any] = {
        "spec": {
            "containers": [{"name": names.CONTAINER_MODEL, "imagePullPolicy": "Never", "env": variables}]
        }
    }
    model = serving(intent(podTemplate=own), cpu)
    before = model.state.active
    forget_settings(model)
    plan = model.settle()
    assert (stage(plan), plan.revision.name, model.state.candidate) == (Stage.DONE, before, "")
    model.intent = intent(podTemplate=own, batching={"maxBatchSize": 3})
    assert stage(model.round()) is Stage.DONE
