"""The chart's values about spans and logs: what each program is told, and what is not there unless it is asked for."""

from __future__ import annotations

from typing import Any, Final

from tests.contract.chart import Object, pod_specs, render

BASE: Final = ("--set", "crds.enabled=false")
TRACED: Final = (
    *BASE,
    *(
        "--set",
        "tracing.endpoint=https://otel.monitoring:4317,tracing.secretName=collector",
    ),
    *("--set", "logFormat=json"),
    *("--set-json", "tracing.samplingRatio=0.05"),
)


def _containers(*arguments: str) -> dict[str, Object]:
    """Of gateway and operator, by name."""
    found: dict[str, Object] = {}
    for item in render(*arguments):
        if item["kind"] == "Deployment":
            spec = item["spec"]["template"]["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                found[container["name"]] = container
    return found


def _variables(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in container.get("env", ())}


def test_without_a_collector_nothing_is_said_about_spans() -> None:
    for container in _containers(*BASE).values():
        assert not [name for name in _variables(container) if name.startswith("OTEL_") or "OTLP" in name]
        assert not [one for one in container["volumeMounts"] if one["name"] == "tracing"]


def test_envoys_bootstrap_and_the_activator_get_the_standard_variables() -> None:
    containers = _containers(*TRACED)
    for name in ("bootstrap", "activator"):
        variables = _variables(containers[name])
        assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://otel.monitoring:4317"
        assert variables["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
        assert (variables["OTEL_TRACES_SAMPLER"], variables["OTEL_TRACES_SAMPLER_ARG"]) == (
            "parentbased_traceidratio",
            "0.05",
        )
        assert variables["OTEL_RESOURCE_ATTRIBUTES"].endswith("k8s.pod.name=$(POD_NAME)")
        assert variables["ATHERIA_LOG_FORMAT"] == "json"
        [mount] = [one for one in containers[name]["volumeMounts"] if one["name"] == "tracing"]
        assert mount["mountPath"] == variables["ATHERIA_TRACING_SECRET"]
    gateway = next(spec for name, spec in pod_specs(render(*TRACED)).items() if name.endswith("gateway"))
    [volume] = [one for one in gateway["volumes"] if one["name"] == "tracing"]
    assert volume["secret"] == {"secretName": "collector"}


def test_the_operator_passes_it_on_to_model_pods_unless_they_are_left_out() -> None:
    variables = _variables(_containers(*TRACED)["operator"])
    assert variables["ATHERIA_MODEL_OTLP_ENDPOINT"] == "https://otel.monitoring:4317"
    assert variables["ATHERIA_MODEL_TRACING_SECRET"] == "collector"
    assert variables["ATHERIA_LOG_FORMAT"] == "json"
    left_out = _variables(_containers(*TRACED, "--set", "tracing.models=false")["operator"])
    assert "ATHERIA_MODEL_OTLP_ENDPOINT" not in left_out


def test_no_secret_is_a_variable() -> None:
    assert "secretKeyRef" not in str(_containers(*TRACED))


def test_policies_let_spans_through_to_the_collectors_port_and_no_other() -> None:
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in render(*TRACED, "--set", "networkPolicy.enabled=true")
        if item["kind"] == "NetworkPolicy"
    }
    to_collector = {"ports": [{"protocol": "TCP", "port": 4317}]}
    assert to_collector in policies["atheria-gateway"]["egress"]
    assert to_collector not in policies["atheria-operator"]["egress"]
    assert "4317" not in str(render(*BASE, "--set", "networkPolicy.enabled=true"))
