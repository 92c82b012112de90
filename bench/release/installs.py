"""One `helm install` on a fresh cluster, and when each thing was there that a person waits for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from atheria_cli.cluster import Cluster
from atheria_cli.demo.show import SYSTEM_NAMESPACE
from bench.release import local_cluster

MODEL: Final = "first"
POINTS: Final = {
    "gateway runs": "the gateway's containers run",
    "gateway ready": "the gateway is Ready",
    "operator runs": "the operator's container runs (its first container has applied the hardware profiles)",
    "operator ready": "the operator is Ready",
    "helm returned": "`helm install --wait` has returned",
    "applied": "`kubectl apply` of a namespace and a model has returned",
    "Deployment": "**the model has its Deployment**",
}
"""What is timed, in words, in about the order in which it happens."""
_LOOK_SECONDS: Final = 0.1


def install(cluster: Cluster) -> dict[str, float]:
    """Install the chart where no release is, apply a model, and wait for its Deployment: seconds since the begin by point."""
    arguments = ["install", "atheria", *local_cluster.chart_arguments(local_cluster.CHART)]
    command = [
        *cluster.command("helm"),
        *(*arguments, *local_cluster.helm_arguments(), "--create-namespace"),
    ]
    began = time.monotonic()
    seen: dict[str, float] = {}

    def mark(point: str) -> None:
        seen.setdefault(point, time.monotonic() - began)

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=cluster.full_environment()) as helm:
        _until("helm's end", lambda: helm.poll() is not None, lambda: _look_at_pods(cluster, mark))
        mark("helm returned")
    if helm.returncode:
        raise RuntimeError(f"helm install failed with {helm.returncode}")
    _look_at_pods(cluster, mark)
    local_cluster.make_namespace(cluster)
    model = local_cluster.echo_model(MODEL, {"minReplicas": 0, "maxReplicas": 1})
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(model))
    mark("applied")
    _until("the model's Deployment", lambda: _has_deployment(cluster), lambda: None)
    mark("Deployment")
    return seen


def _look_at_pods(cluster: Cluster, mark: Callable[[str], None]) -> None:
    for pod in cluster.pods(SYSTEM_NAMESPACE, "app.kubernetes.io/instance=atheria"):
        part = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        containers = pod.get("status", {}).get("containerStatuses", ())
        if containers and all(_is_running(one) for one in containers):
            mark(f"{part} runs")
        if containers and all(one["ready"] for one in containers):
            mark(f"{part} ready")


def _is_running(container: Mapping[str, Any]) -> bool:
    return "running" in container.get("state", {})


def _has_deployment(cluster: Cluster) -> bool:
    found = cluster.kubectl("get", "deployments", "-n", local_cluster.NAMESPACE, "-o", "name")
    return f"/{MODEL}-" in found


def _until(what: str, is_so: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
    deadline = time.monotonic() + local_cluster.WAIT_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {local_cluster.WAIT_SECONDS:g} s")
        meanwhile()
        time.sleep(_LOOK_SECONDS)
