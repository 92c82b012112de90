"""PodMonitors, and what keeps the gateway up: autoscaler, disruption budget, spread."""

from __future__ import annotations

from typing import Any, Final

from atheria_contract import names
from tests.contract.chart import Object, one, pod_specs, render

WITH_CRD: Final = ("--api-versions", "monitoring.coreos.com/v1", "--set", "monitoring.enabled=true")
SCALED: Final = ("--set", "gateway.autoscaling.enabled=true")


def _monitors(objects: list[Object]) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == "PodMonitor"}


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


def test_monitors_and_rules_have_the_labels_by_which_a_prometheus_selects_them() -> None:
    labels = "monitoring.labels.release=kps,alerts.labels.release=kps,alerts.enabled=true"
    objects = render(*WITH_CRD, "--set", labels)
    found = [item for item in objects if item["kind"] in ("PodMonitor", "PrometheusRule")]
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
