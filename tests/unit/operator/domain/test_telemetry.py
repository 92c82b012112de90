"""What models' pods are told about spans and logs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.pod_template import ServerDefaults, build_pod_template
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.desired.telemetry import Telemetry
from atheria_operator.settings import SettingsError, read_settings

Intents = Callable[..., ModelIntent]
TRACED = Telemetry(endpoint="http://otel:4317", secret_name="collector")


@pytest.fixture
def template(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> Callable[[Telemetry], dict[str, Any]]:
    return lambda telemetry: build_pod_template(intent(), cpu, replace(defaults, telemetry=telemetry))


def test_nothing_asked_for_leaves_every_revision_as_it_was(
    intent: Intents,
    cpu: HardwareProfile,
    defaults: ServerDefaults,
    template: Callable[[Telemetry], dict[str, Any]],
) -> None:
    assert "env" not in template(Telemetry())["spec"]["containers"][0]
    asked = replace(defaults, telemetry=TRACED)
    assert build_revision(intent(), cpu, asked).hash != build_revision(intent(), cpu, defaults).hash


def test_a_pod_names_itself_follows_the_gateway_and_reads_its_secret_as_files(
    intent: Intents, template: Callable[[Telemetry], dict[str, Any]]
) -> None:
    spec, key = template(TRACED)["spec"], intent().key
    [container] = spec["containers"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel:4317"
    assert variables["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    assert variables["OTEL_SERVICE_NAME"] == key.name
    assert variables["OTEL_TRACES_SAMPLER"] == "parentbased_always_off"
    assert variables["OTEL_RESOURCE_ATTRIBUTES"] == (
        f"k8s.namespace.name={key.namespace},k8s.pod.name=$(POD_NAME),atheria.model={key},atheria.revision=$(ATHERIA_REVISION)"
    )
    names = [one["name"] for one in container["env"]]
    # A variable may only name those before it.
    assert max(names.index("POD_NAME"), names.index("ATHERIA_REVISION")) < names.index(
        "OTEL_RESOURCE_ATTRIBUTES"
    )
    [volume] = [one for one in spec["volumes"] if one["name"] == "tracing"]
    assert volume["secret"] == {"secretName": "collector", "optional": True, "defaultMode": 0o440}
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "tracing"]
    assert mount["mountPath"] == variables["ATHERIA_TRACING_SECRET"]
    assert not any("secretKeyRef" in str(one) for one in container["env"])


def test_the_log_of_pods_is_json_where_that_is_asked_for(
    template: Callable[[Telemetry], dict[str, Any]],
) -> None:
    [container] = template(Telemetry(log_format="json"))["spec"]["containers"]
    assert container["env"] == [{"name": "ATHERIA_LOG_FORMAT", "value": "json"}]


def test_the_operator_reads_it_from_its_environment_and_refuses_what_it_cannot_mean() -> None:
    image = {"ATHERIA_SERVER_IMAGE": "server:1"}
    given = {
        **image,
        "ATHERIA_MODEL_OTLP_ENDPOINT": "http://otel:4317",
        "ATHERIA_MODEL_OTLP_PROTOCOL": "http/protobuf",
        "ATHERIA_MODEL_TRACING_SECRET": "collector",
        "ATHERIA_LOG_FORMAT": "json",
    }
    settings = read_settings(given)
    assert settings.model_telemetry == Telemetry(
        endpoint="http://otel:4317",
        protocol="http/protobuf",
        secret_name="collector",
        log_format="json",
    )
    assert settings.log_format == "json"
    assert read_settings(image).model_telemetry == Telemetry()
    for name, wrong in (
        ("ATHERIA_MODEL_OTLP_ENDPOINT", "otel:4317"),
        ("ATHERIA_MODEL_OTLP_PROTOCOL", "thrift"),
        ("ATHERIA_LOG_FORMAT", "xml"),
    ):
        with pytest.raises(SettingsError, match=f"{name} is '{wrong}': use "):
            read_settings({**given, name: wrong})
