"""The NetworkPolicies of the chart, judged as a network plugin would; and that there are none unless asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import pytest
import yaml

from atheria_contract import names
from tests.contract.chart import ROOT, SYSTEM_NAMESPACE, Object, pod_specs, render

SCRAPER: Final = '[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]'
ENABLED: Final = (
    *("--set", "crds.enabled=false,networkPolicy.enabled=true,networkPolicy.modelNamespaces={demo}"),
    *("--set-json", f"networkPolicy.scrapers={SCRAPER}"),
)
OTHER_PORT: Final = 12345


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """As much of a pod as policies look at."""

    namespace: str
    labels: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    """Named ports."""


@cache
def _release(component: str) -> Pod:
    objects = [item for item in render("--set", "crds.enabled=false") if item["kind"] == "Deployment"]
    template = next(o for o in objects if o["metadata"]["name"] == f"atheria-{component}")["spec"]["template"]
    ports = {
        port["name"]: port["containerPort"]
        for container in template["spec"]["containers"]
        for port in container.get("ports", [])
    }
    return Pod(namespace=SYSTEM_NAMESPACE, labels=template["metadata"]["labels"], ports=ports)


MODEL: Final = Pod(namespace="demo", labels={names.LABEL_MODEL: "qca"}, ports={"http": 8000, "grpc": 8001})
NEIGHBOUR: Final = Pod(namespace="demo", labels={"app": "notebook"})
STRANGER: Final = Pod(namespace="other", labels={"app": "curious"})
PROMETHEUS: Final = Pod(namespace="monitoring", labels={"app": "prometheus"})
PRETENDER: Final = Pod(
    namespace="other",
    labels={
        "app.kubernetes.io/name": "atheria",
        "app.kubernetes.io/instance": "atheria",
        "app.kubernetes.io/component": "gateway",
    },
)
"""Calls itself a gateway in a namespace of its own."""


def _matches(selector: Object | None, labels: dict[str, str]) -> bool:
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    assert all(one["operator"] == "Exists" for one in expressions), "the test knows no other operator"
    return wanted.items() <= labels.items() and all(one["key"] in labels for one in expressions)


def _is_peer(peers: list[Object] | None, policy: Object, pod: Pod) -> bool:
    if not peers:
        return True
    for peer in peers:
        in_namespace = (
            _matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": pod.namespace})
            if "namespaceSelector" in peer
            else pod.namespace == policy["metadata"]["namespace"]
        )
        if in_namespace and ("podSelector" not in peer or _matches(peer["podSelector"], pod.labels)):
            return True
    return False


def _is_port(ports: list[Object] | None, port: int, target: Pod) -> bool:
    return not ports or any(target.ports.get(one["port"], one["port"]) == port for one in ports)


def _policies(objects: list[Object]) -> list[Object]:
    return [item for item in objects if item["kind"] == "NetworkPolicy"]


def may_connect(objects: list[Object], client: Pod, server: Pod, port: int) -> bool:
    """Whether a plugin that enforces policies lets `client` connect to `port` of `server`: both ends must allow it."""

    def allows(pod: Pod, direction: str, peer: Pod, key: str) -> bool:
        selecting = [
            policy
            for policy in _policies(objects)
            if policy["metadata"]["namespace"] == pod.namespace
            and _matches(policy["spec"]["podSelector"], pod.labels)
            and direction.capitalize() in policy["spec"]["policyTypes"]
        ]
        return not selecting or any(
            _is_peer(rule.get(key), policy, peer) and _is_port(rule.get("ports"), port, server)
            for policy in selecting
            for rule in policy["spec"].get(direction) or ()
        )

    return allows(client, "egress", server, "to") and allows(server, "ingress", client, "from")


@pytest.mark.parametrize("port", [names.PORT_HTTP, names.PORT_GRPC])
def test_model_pods_are_reached_by_the_gateway_and_by_nobody_else_with_calls(port: int) -> None:
    objects = render(*ENABLED)
    assert may_connect(objects, _release("gateway"), MODEL, port)
    for pod in (STRANGER, NEIGHBOUR, PRETENDER):
        assert not may_connect(objects, pod, MODEL, port), pod


def test_scrapers_and_the_operator_reach_a_model_pods_metrics_and_start_and_not_its_grpc_port() -> None:
    objects = render(*ENABLED)
    for pod in (PROMETHEUS, _release("operator")):
        assert may_connect(objects, pod, MODEL, names.PORT_HTTP)
        assert not may_connect(objects, pod, MODEL, names.PORT_GRPC)


def test_nobody_but_gateways_reports_demand_and_nobody_but_scrapers_reads_metrics() -> None:
    objects = render(*ENABLED)
    operator, gateway = _release("operator"), _release("gateway")
    assert may_connect(objects, gateway, operator, names.PORT_DEMAND)
    for target in (operator, gateway):
        assert may_connect(objects, PROMETHEUS, target, names.PORT_METRICS)
        assert not may_connect(objects, STRANGER, target, names.PORT_METRICS)
    for pod in (STRANGER, PRETENDER, PROMETHEUS, MODEL):
        assert not may_connect(objects, pod, operator, names.PORT_DEMAND)


def test_everybody_may_call_the_gateway_unless_callers_are_named() -> None:
    gateway = _release("gateway")
    for port in (names.PORT_HTTP, names.PORT_GRPC):
        assert may_connect(render(*ENABLED), STRANGER, gateway, port)
    named = render(*ENABLED, "--set-json", 'networkPolicy.callers=[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}}]')  # fmt: skip
    assert not may_connect(named, STRANGER, gateway, names.PORT_HTTP)
    assert may_connect(named, Pod(namespace="web", labels={}), gateway, names.PORT_HTTP)
    assert may_connect(named, PROMETHEUS, gateway, names.PORT_METRICS)


def test_pods_of_the_release_reach_names_and_the_api_server_and_nothing_else_outside() -> None:
    objects = render(*ENABLED)
    outside = Pod(namespace="kube-system", labels={})
    pods = pod_specs(objects)
    assert "Job/atheria-uninstall" in pods
    hook = next(item for item in objects if item["kind"] == "Job")["spec"]["template"]["metadata"]["labels"]
    for pod in (_release("operator"), _release("gateway"), Pod(namespace=SYSTEM_NAMESPACE, labels=hook)):
        for port in (53, 443, 6443):
            assert may_connect(objects, pod, outside, port), (pod.labels, port)
        assert not may_connect(objects, pod, outside, OTHER_PORT)
        assert not may_connect(objects, STRANGER, pod, OTHER_PORT)


def test_other_autoscalers_reach_the_operator_where_they_are_switched_on() -> None:
    keda = Pod(namespace="keda", labels={"app.kubernetes.io/name": "keda-operator"})
    closed = render(*ENABLED)
    switches = "operator.externalScaler.enabled=true,operator.externalMetrics.enabled=true"
    opened = render(*ENABLED, "--set", switches)
    operator = dataclasses.replace(
        _release("operator"),
        ports={"scaler": names.PORT_EXTERNAL_SCALER, "metrics-api": names.PORT_EXTERNAL_METRICS},
    )
    assert not may_connect(closed, keda, operator, names.PORT_EXTERNAL_SCALER)
    assert may_connect(opened, keda, operator, names.PORT_EXTERNAL_SCALER)
    # The API server is no pod that a policy could name.
    assert may_connect(opened, STRANGER, operator, names.PORT_EXTERNAL_METRICS)


def test_model_pods_connect_anywhere_unless_it_is_said_where_to() -> None:
    store = Pod(namespace="storage", labels={})
    assert may_connect(render(*ENABLED), MODEL, store, 9000)
    limited = render(*ENABLED, "--set-json", 'networkPolicy.modelEgress=[{"ports": [{"port": 443}]}]')
    assert may_connect(limited, MODEL, store, 443)
    assert may_connect(limited, MODEL, store, 53)
    assert not may_connect(limited, MODEL, store, 9000)


def test_the_served_namespaces_are_the_default_of_those_with_a_policy() -> None:
    objects = render("--set", "networkPolicy.enabled=true,operator.namespaces={team-a,team-b}")
    namespaces = [
        item["metadata"]["namespace"]
        for item in _policies(objects)
        if item["metadata"]["name"] == "atheria-models"
    ]
    assert namespaces == ["team-a", "team-b"]


def test_there_are_no_policies_unless_asked_for() -> None:
    assert not _policies(render())


def test_the_sample_for_further_namespaces_is_the_policy_that_the_chart_would_make() -> None:
    sample: dict[str, Any] = yaml.safe_load(
        (ROOT / "manifests" / "samples" / "network-policy.yaml").read_text(encoding="utf-8")
    )
    made = next(item for item in _policies(render(*ENABLED)) if item["metadata"]["name"] == "atheria-models")
    assert sample["spec"] == made["spec"]
    assert sample["kind"] == "NetworkPolicy"
