"""The operator with many models on a real API server: speed at rest, 500 at once, memory and idle processor with 1000.

Run: `.venv/bin/python -m bench.operator_scale [--models 500 --total 1000 --at-rest 30 --json FILE]`. API server, etcd, operator and this
client share the machine, so the load average is printed with the figures. Goals: apply to Deployment p95 ≤ 300 ms and drift
repaired ≤ 300 ms at rest; 500 models' Deployments within 60 s without errors; ≤ 250 MB and ≤ 5 % of a core idle with 1000.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, watch

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import wait_established
from bench.apply_to_deployment import METRICS_PORT, NAMESPACE, ROOT, measure, wait_until_healthy

IDLE_SECONDS = 30.0
SETTLE_SECONDS = 15.0


@contextmanager
def running() -> Iterator[tuple[ControlPlane, subprocess.Popen[bytes]]]:
    """An API server with the definitions and profiles, and an operator that works on it."""
    with ControlPlane() as plane:
        for folder in (ROOT / "manifests" / "crds", ROOT / "charts" / "atheria" / "files" / "profiles"):
            apply = [*plane.kubectl, "apply", "--server-side", "-f", str(folder)]
            subprocess.run(apply, check=True, stdout=sys.stderr)
            wait_established(plane.kubectl)
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
            yield plane, operator
        finally:
            operator.terminate()
            operator.wait(timeout=60)


def create_at_once(prefix: str, count: int) -> float:
    """Create models from 16 threads; seconds from the first create until the last has its Deployment."""
    document = yaml.safe_load((ROOT / "examples" / "qca" / "model.yaml").read_text())
    # At zero, as models are that nobody calls.
    document["spec"].setdefault("scaling", {})["initialReplicas"] = 0
    apps, seen, done = client.AppsV1Api(), set(), threading.Event()
    events = watch.Watch()

    def look() -> None:
        # An API server that is busy ends watches that cannot follow: begin again, with all that there are.
        while not done.is_set():
            for event in events.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=600):
                name = event["object"].metadata.labels[names.LABEL_MODEL]
                if name.startswith(f"{prefix}-"):
                    seen.add(name)
                if len(seen) == count:
                    done.set()
                    return

    threading.Thread(target=look, daemon=True).start()

    def create(index: int) -> None:
        body = {**document, "metadata": {"name": f"{prefix}-{index}", "namespace": NAMESPACE}}
        client.CustomObjectsApi().create_namespaced_custom_object(
            names.GROUP, names.VERSION, NAMESPACE, names.MODEL_PLURAL, body
        )

    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(create, range(count)))
    created = time.monotonic()
    if not done.wait(timeout=600):
        raise SystemExit(f"{len(seen)} of {count} Deployments after 600 s")
    sys.stderr.write(f"{count} models created in {created - began:.1f} s\n")
    return time.monotonic() - began


def repair_seconds(rounds: int) -> list[float]:
    """Change a Deployment's template; sorted seconds from the patch's answer until it is put right."""
    apps = client.AppsV1Api()
    name = apps.list_namespaced_deployment(NAMESPACE, limit=1).items[0].metadata.name
    found = []
    for _ in range(rounds):
        change = {"spec": {"template": {"spec": {"enableServiceLinks": True}}}}
        changed = apps.patch_namespaced_deployment(name, NAMESPACE, change)
        began = time.monotonic()
        events = watch.Watch()
        version = changed.metadata.resource_version
        for event in events.stream(
            apps.list_namespaced_deployment, NAMESPACE, field_selector=f"metadata.name={name}",
            resource_version=version, timeout_seconds=30,
        ):  # fmt: skip
            if event["object"].spec.template.spec.enable_service_links is False:
                found.append(time.monotonic() - began)
                break
        else:
            raise SystemExit(f"the change of Deployment {name} was not put right within 30 s")
        time.sleep(0.2)
    return sorted(found)


def resident_mb(pid: int) -> float:
    """Resident memory of a process in megabytes (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def errors() -> dict[str, float]:
    """Failed rounds by reason, from the operator's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.findall(rf'^{names.METRIC_RECONCILE_ERRORS}{{reason="(\w+)"}} (\S+)$', text, re.MULTILINE)
    return {reason: float(count) for reason, count in found}


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--total", type=int, default=1000)
    parser.add_argument("--at-rest", type=int, default=30)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"load_before": os.getloadavg()[0], "processors": os.cpu_count()}
    with running() as (plane, operator):
        latencies = measure(plane.kubeconfig, arguments.at_rest, 0.3)
        figures["apply_p50_ms"], figures["apply_p95_ms"] = (
            latencies[int(len(latencies) * share)] * 1e3 for share in (0.5, 0.95)
        )
        repairs = repair_seconds(20)
        figures["repair_p50_ms"], figures["repair_p95_ms"] = repairs[10] * 1e3, repairs[19] * 1e3
        figures["rss_few_mb"] = resident_mb(operator.pid)
        figures["burst_seconds"] = create_at_once("burst", arguments.models)
        rest = arguments.total - arguments.models - arguments.at_rest
        if rest > 0:
            create_at_once("more", rest)
        time.sleep(SETTLE_SECONDS)
        figures["rss_mb"] = resident_mb(operator.pid)
        began, spent = time.monotonic(), processor_seconds(operator.pid)
        time.sleep(IDLE_SECONDS)
        figures["idle_percent"] = 100 * (processor_seconds(operator.pid) - spent) / (time.monotonic() - began)
        figures["errors"] = errors()
    figures["load_after"] = os.getloadavg()[0]
    for name, value in figures.items():
        print(f"{name:16} {value:.1f}" if isinstance(value, float) else f"{name:16} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
