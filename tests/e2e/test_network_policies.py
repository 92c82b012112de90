"""With the chart's NetworkPolicies a pod elsewhere reaches nothing but the gateway's two doors; without them it reaches all.

The local cluster enforces policies itself (`atheria_local.policies`), as its network plugin does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import tritonclient.grpc as triton

from atheria_cli.cluster import Cluster, wait_for
from atheria_cli.demo.show import SYSTEM_NAMESPACE
from atheria_contract import names
from bench.release.local_cluster import CHART, chart_arguments, helm_arguments
from tests.e2e.model import (
    GATEWAY,
    NAMESPACE,
    apply,
    delete,
    headers,
    infer,
    live_pods,
    manifest,
    ripple,
    wait_condition,
)

WARM, COLD = "guarded", "guarded-cold"
ELSEWHERE, SCRAPER = "e2e-elsewhere", "e2e-monitoring"
SCRAPERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SCRAPER}}}]
POLICIES = {"enabled": True, "modelNamespaces": [NAMESPACE], "scrapers": SCRAPERS}
LOOK = """
import json, socket, sys
def look(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        return False
    return True
print(json.dumps({name: look(target) for name, target in json.loads(sys.argv[1]).items()}))
"""


def _helm(cluster: Cluster, *more: str) -> None:
    cluster.helm("upgrade", "atheria", *chart_arguments(CHART), *more, *helm_arguments())


def _operator_pod(cluster: Cluster) -> dict[str, Any]:
    return _pod(cluster, "operator")


def _pod(cluster: Cluster, part: str) -> dict[str, Any]:
    (pod,) = [
        pod
        for pod in cluster.pods(SYSTEM_NAMESPACE, f"app.kubernetes.io/component={part}")
        if "deletionTimestamp" not in pod["metadata"]
    ]
    return pod


@pytest.fixture
def lookouts(cluster: Cluster) -> Iterator[None]:
    """A pod named `look` in each of two namespaces, and two models; afterwards no policies."""
    container = _operator_pod(cluster)["spec"]["containers"][0]
    for namespace in (ELSEWHERE, SCRAPER):
        cluster.kubectl("create", "namespace", namespace)
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=60s")
        sleeper = {
            "name": "look",
            "image": container["image"],
            "imagePullPolicy": "Never",
            "command": ["sleep", "3600"],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "look", "namespace": namespace},
            "spec": {"containers": [sleeper], "terminationGracePeriodSeconds": 0},
        }
        apply(cluster, pod)
    apply(cluster, manifest(WARM, scaling={"minReplicas": 1, "maxReplicas": 1}))
    apply(
        cluster,
        manifest(COLD, scaling={"minReplicas": 0, "maxReplicas": 1, "initialReplicas": 0}),
    )
    for namespace in (ELSEWHERE, SCRAPER):
        cluster.kubectl("wait", "--for=condition=Ready", "pod/look", "-n", namespace, "--timeout=60s")
    wait_condition(cluster, WARM, "Warm", status="True")
    wait_condition(cluster, COLD, "Ready", status="True", reason="ScaledToZero")
    yield
    _helm(cluster)
    for model in (WARM, COLD):
        delete(cluster, model)
    for namespace in (ELSEWHERE, SCRAPER):
        cluster.kubectl("delete", "namespace", namespace, timeout_seconds=180)


def _seen(cluster: Cluster, namespace: str, targets: Mapping[str, str]) -> set[str]:
    """Names of the targets that accept a connection from the pod in that namespace."""
    said = cluster.kubectl(
        "exec", "-n", namespace, "look", "--", "python", "-c", LOOK, json.dumps(dict(targets))
    )
    return {name for name, is_open in json.loads(said).items() if is_open}


def test_only_gateway_and_scraper_reach_a_model_and_nobody_else_the_parts_that_control(
    cluster: Cluster, lookouts: None
) -> None:
    (model,) = live_pods(cluster, WARM)
    addresses = {
        "model": cluster.get("pod", model, NAMESPACE)["status"]["podIP"],
        **{part: _pod(cluster, part)["status"]["podIP"] for part in ("gateway", "operator")},
    }
    doors = {
        "model grpc": names.PORT_GRPC,
        "model http": names.PORT_HTTP,
        "gateway grpc": names.PORT_GRPC,
        "gateway http": names.PORT_HTTP,
        "gateway metrics": names.PORT_METRICS,
        "operator demand": names.PORT_DEMAND,
        "operator metrics": names.PORT_METRICS,
    }
    targets = {name: f"{addresses[name.split()[0]]}:{port}" for name, port in doors.items()}
    assert _seen(cluster, ELSEWHERE, targets) == set(targets), "without policies everything is open"

    _helm(cluster, "--set-json", f"networkPolicy={json.dumps(POLICIES)}")
    gateway = {"gateway grpc", "gateway http"}
    metrics = {"gateway metrics", "operator metrics", "model http"}
    expected = {ELSEWHERE: gateway, SCRAPER: gateway | metrics}
    last: dict[str, set[str]] = {}

    def enforced() -> bool | None:
        nonlocal last
        last = {namespace: _seen(cluster, namespace, targets) for namespace in expected}
        return True if last == expected else None

    # Several policies, which the node learns of one after the other.
    wait_for("the policies", enforced, timeout_seconds=90, describe=lambda: f"open: {last}")
    # And they stay so.
    assert {namespace: _seen(cluster, namespace, targets) for namespace in expected} == expected

    # Demand, wake-up, start and reports of it all have to pass.
    with triton.InferenceServerClient(GATEWAY) as client:
        assert infer(client, WARM, ripple(1, 16)).shape == (1, 16, 16, 16)
        assert infer(client, COLD, ripple(1, 16)).shape == (1, 16, 16, 16)
        assert client.is_server_live(headers=headers(COLD))
