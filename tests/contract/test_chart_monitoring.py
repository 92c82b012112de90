"""PodMonitors or ServiceMonitors, and what keeps the gateway up: autoscaler, disruption budget, spread."""

from __future__ import annotations

from typing import Any, Final

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.desired.services import build_gateway_service, build_pods_service
from tests.contract.chart import Object, one, pod_specs, render

WITH_CRD: Final = ("--api-versions", "monitoring.coreos.com/v1", "--set", "monitoring.enabled=true")
BY_SERVICE: Final = (*WITH_CRD, "--set", "monitoring.kind=ServiceMonitor")
SCALED: Final = ("--set", "gateway.autoscaling.enabled=true")


def _monitors(objects: list[Object]) -> dict[str, Any]:
    return _of_kind("PodMonitor", objects)


def _of_kind(kind: str, objects: list[Object]) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}


def test_the_monitors_of_operator_and_gateway_select_their_pods_and_a_port_that_they_have() -> None:
    objects = render(*WITH_CRD)
    for component in ("operator", "gateway"):
        spec = _monitors(objects)[f"atheria-{component}"]["spec"]
        template = one(objects, "Deployment", f"atheria-{component}")["spec"]["template"]
        assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        (endpoint,) = spec["podMetricsEndpoints"]
        ports = [port["name"] for c in template["spec"]["containers"] for port in c.get("ports", [])]
        assert ports.count(endpoint["port"]) == 1
        # Their series have a label `namespace` of their own: that of the model.
        assert endpoint["honorLabels"] is True


def test_model_pods_are_scraped_at_the_port_of_the_contract_wherever_they_are() -> None:
    spec = _monitors(render(*WITH_CRD))["atheria-models"]["spec"]
    assert spec["selector"] == {"matchExpressions": [{"key": names.LABEL_MODEL, "operator": "Exists"}]}
    assert spec["namespaceSelector"] == {"any": True}
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint == {"port": names.PORT_NAME_HTTP, "interval": "15s"}
    few = _monitors(render(*WITH_CRD, "--set", "operator.namespaces={a,b}"))["atheria-models"]["spec"]
    assert few["namespaceSelector"] == {"matchNames": ["a", "b"]}


def test_by_services_operator_and_gateway_are_scraped_at_a_port_that_no_load_balancer_has() -> None:
    objects = render(*BY_SERVICE, "--set", "gateway.service.type=LoadBalancer")
    services = _of_kind("Service", objects)
    for component in ("operator", "gateway"):
        spec = _of_kind("ServiceMonitor", objects)[f"atheria-{component}"]["spec"]
        wanted = spec["selector"]["matchLabels"].items()
        (service,) = [item for item in services.values() if wanted <= item["metadata"]["labels"].items()]
        (endpoint,) = spec["endpoints"]
        assert endpoint == {"port": "metrics", "interval": "15s", "honorLabels": True}
        (port,) = [port for port in service["spec"]["ports"] if port["name"] == endpoint["port"]]
        template = one(objects, "Deployment", f"atheria-{component}")["spec"]["template"]
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ports = [p["name"] for c in template["spec"]["containers"] for p in c.get("ports", [])]
        assert ports.count(port["targetPort"]) == 1
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
    assert not _monitors(objects)
    assert "atheria-gateway-metrics" not in _of_kind("Service", render(*WITH_CRD))


def test_by_services_each_revision_is_scraped_and_the_service_that_leads_to_the_gateway_is_not() -> None:
    spec = _of_kind("ServiceMonitor", render(*BY_SERVICE))["atheria-models"]["spec"]
    body = {
        "metadata": {"name": "qca", "namespace": "demo", "uid": "u"},
        "spec": {"model": {"source": "builtin://qca"}},
    }
    intent = parse_model(body)
    assert isinstance(intent, ModelIntent)
    revision = build_revision(intent, HardwareProfile(name="cpu"), ServerDefaults(image="server:1"))
    wanted = spec["selector"]["matchLabels"].items()
    pods, gateway = build_pods_service(intent, revision), build_gateway_service(intent)
    assert wanted <= pods["metadata"]["labels"].items()
    assert not wanted <= gateway["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in [port["name"] for port in pods["spec"]["ports"]]
    assert spec["namespaceSelector"] == {"any": True}


@pytest.mark.parametrize("monitors", [WITH_CRD, BY_SERVICE], ids=["pods", "services"])
def test_monitors_and_rules_have_the_labels_by_which_a_prometheus_selects_them(
    monitors: tuple[str, ...],
) -> None:
    labels = "monitoring.labels.release=kps,alerts.labels.release=kps,alerts.enabled=true"
    objects = render(*monitors, "--set", labels)
    found = [item for item in objects if item["apiVersion"] == "monitoring.coreos.com/v1"]
    assert len(found) == 4
    for item in found:
        assert item["metadata"]["labels"]["release"] == "kps"
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "atheria"


def test_without_the_definition_or_unless_asked_for_there_are_no_monitors() -> None:
    assert not _monitors(render("--set", "monitoring.enabled=true"))
    assert not _monitors(render(*WITH_CRD[:2]))


def test_with_an_autoscaler_the_chart_leaves_the_number_of_gateway_pods_to_it() -> None:
    objects = render(*SCALED)
    assert "replicas" not in one(objects, "Deployment", "atheria-gateway")["spec"]
    spec = one(objects, "HorizontalPodAutoscaler", "atheria-gateway")["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "atheria-gateway",
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 10)
    for container in pod_specs(objects)["Deployment/atheria-gateway"]["containers"]:
        assert container["resources"]["requests"]["cpu"], "percent of nothing"


def test_a_drain_of_nodes_leaves_a_gateway_and_is_never_blocked_by_a_single_one() -> None:
    def budgets(*arguments: str) -> list[Object]:
        return [item for item in render(*arguments) if item["kind"] == "PodDisruptionBudget"]

    (budget,) = budgets()
    assert budget["spec"]["maxUnavailable"] == 1
    assert budgets(*SCALED)
    assert not budgets("--set", "gateway.replicas=1")
    assert not budgets(*SCALED, "--set", "gateway.autoscaling.minReplicas=1")


def test_gateway_pods_spread_over_nodes_and_zones_unless_a_value_says_how() -> None:
    pod = pod_specs(render())["Deployment/atheria-gateway"]
    assert [one["topologyKey"] for one in pod["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    assert {one["whenUnsatisfiable"] for one in pod["topologySpreadConstraints"]} == {"ScheduleAnyway"}
    own = render("--set-json", 'gateway.topologySpreadConstraints=[{"maxSkew": 2, "topologyKey": "rack"}]')
    assert pod_specs(own)["Deployment/atheria-gateway"]["topologySpreadConstraints"] == [
        {"maxSkew": 2, "topologyKey": "rack"}
    ]
