"""How long from `kubectl apply` of a model until its Deployment exists: the operator on a real API server.

Run: `.venv/bin/python bench/apply_to_deployment.py [--models 50]`. Prints p50, p95 and maximum in milliseconds (measured on
this machine: API server, etcd, operator and this client share its cores). The goal is p95 ≤ 300 ms, the bound 500 ms.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import yaml
from kubernetes import client, config, watch

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import wait_established

ROOT = Path(__file__).parents[1]
NAMESPACE = "default"
METRICS_PORT = 19190


def measure(kubeconfig: Path, models: int, pause_seconds: float) -> list[float]:
    """Create models one after another; returns seconds from the create's answer to the Deployment's ADDED event."""
    config.load_kube_config(str(kubeconfig))
    custom, apps = client.CustomObjectsApi(), client.AppsV1Api()
    document = yaml.safe_load((ROOT / "examples" / "qca" / "model.yaml").read_text())
    seen: dict[str, float] = {}
    arrived = threading.Event()

    deployments = watch.Watch()

    def look() -> None:
        for event in deployments.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=600):
            if event["type"] == "ADDED":
                seen[event["object"].metadata.labels[names.LABEL_MODEL]] = time.monotonic()
                arrived.set()
            if len(seen) == models:
                return

    threading.Thread(target=look, daemon=True).start()
    latencies = []
    for index in range(models):
        name = f"bench-{index}"
        document["metadata"] = {"name": name, "namespace": NAMESPACE}
        began = time.monotonic()
        custom.create_namespaced_custom_object(
            names.GROUP, names.VERSION, NAMESPACE, names.MODEL_PLURAL, document
        )
        while name not in seen:
            if not arrived.wait(timeout=30):
                raise SystemExit(f"no Deployment for {name} within 30 s: see the operator's log above")
            arrived.clear()
        latencies.append(seen[name] - began)
        time.sleep(pause_seconds)
    return sorted(latencies)


def wait_until_healthy(operator: subprocess.Popen[bytes]) -> None:
    """Until the operator's health check says ok, for at most a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and operator.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the operator did not become healthy within 60 s: see its log above")


def main() -> None:
    """Start an API server and an operator, measure, end both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--pause-seconds", type=float, default=0.1)
    arguments = parser.parse_args()
    with ControlPlane() as plane:
        kubectl = plane.kubectl
        for folder in (ROOT / "manifests" / "crds", ROOT / "charts" / "atheria" / "files" / "profiles"):
            subprocess.run([*kubectl, "apply", "-f", str(folder)], check=True, stdout=sys.stderr)
            wait_established(kubectl)
        environment = {
            **os.environ,
            "KUBECONFIG": str(plane.kubeconfig),
            names.ENV_SERVER_IMAGE: "atheria/server:bench",
            "ATHERIA_METRICS_PORT": str(METRICS_PORT),
            "ATHERIA_DEMAND_PORT": str(METRICS_PORT + 1),
            "ATHERIA_LOG_LEVEL": "WARNING",
        }
        operator = subprocess.Popen([sys.executable, "-m", "atheria_operator"], env=environment)
        try:
            wait_until_healthy(operator)
            latencies = measure(plane.kubeconfig, arguments.models, arguments.pause_seconds)
        finally:
            operator.terminate()
            operator.wait(timeout=30)
    p50, p95 = (latencies[int(len(latencies) * share)] for share in (0.5, 0.95))
    print(
        f"apply to Deployment, {len(latencies)} models: p50 {p50 * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms, max {latencies[-1] * 1e3:.0f} ms (measured)"
    )


if __name__ == "__main__":
    main()
