"""`python -m bench.cold_start --calls 12`: cold calls on the local cluster, each split into what its caller waited for.

Brings the cluster up as `make demo` does where it is down, and down again then. `--image old=REFERENCE` measures a second server
image in turns with the present one, so that what else the machine does touches both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from atheria_cli.cluster import Cluster, wait_for
from atheria_cli.demo.calls import QcaClient
from atheria_cli.demo.show import DemoOptions, install
from atheria_cli.model.summary import condition
from atheria_contract import names
from bench.cold_start.cluster_points import ClusterPoints, processes_of
from bench.cold_start.marks import ColdCall, phases_of, released_point, server_points
from bench.cold_start.report import markdown

ROOT: Final = Path(__file__).resolve().parents[2]
NAMESPACE: Final = "bench-cold-start"
PRESENT: Final = "present"
_WAIT_SECONDS: Final = 180.0
_SYSTEM: Final = "atheria-system"


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    images = {PRESENT: "", **dict(image.split("=", 1) for image in options.image)}
    cluster = Cluster(programs=ROOT / ".local" / "bin", kubeconfig=ROOT / ".local" / "kubeconfig")
    was_up = _local("status", check=False) == 0
    try:
        if not options.as_it_is:
            for command in ("build", "up", "images"):
                _local(command)
            install(
                cluster,
                DemoOptions(repository=ROOT, local=True, context="", values=(), picture=Path("unused.png")),
            )
        loads = [os.getloadavg()[0]]
        calls = _measure(cluster, images, options.calls)
        loads.append(os.getloadavg()[0])
    finally:
        if not was_up:
            _local("down")
    if options.json:
        rows = {variant: [asdict(call) for call in found] for variant, found in calls.items()}
        options.json.write_text(json.dumps({"calls": rows, "load_averages": loads}, indent=1) + "\n")
    print(markdown(calls, os.cpu_count() or 0, loads))
    if options.plot:
        from bench.cold_start.plot import plot

        plot(options.plot, calls)
    return 0


def _measure(cluster: Cluster, images: Mapping[str, str], count: int) -> dict[str, list[ColdCall]]:
    """Seconds by phase of `count` cold calls of each image, in turns."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_seconds=_WAIT_SECONDS)
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        for variant, image in images.items():
            cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_manifest(_name(variant), image)))
        assert cluster.kubeconfig is not None
        points = ClusterPoints(cluster.kubeconfig, NAMESPACE)
        found: dict[str, list[ColdCall]] = {variant: [] for variant in images}
        for index in range(count):
            # Neither always comes after the other.
            for variant in sorted(images, reverse=bool(index % 2)):
                call = _call(cluster, points, _name(variant))
                found[variant].append(call)
                seconds = sum(call.phases.values())
                print(f"{variant} {index + 1}/{count}: {seconds:.2f} s", file=sys.stderr, flush=True)
        return found
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, timeout_seconds=_WAIT_SECONDS)


def _call(cluster: Cluster, points: ClusterPoints, model: str) -> ColdCall:
    """One call of a model that is at zero, its first pod gone."""
    _wait_for_zero(cluster, points, model)
    client = QcaClient(f"127.0.0.1:{names.PORT_GRPC}", model, NAMESPACE)
    try:
        points.forget()
        began = time.time()
        client.evolve_seed(seed=7, size=64, steps=8, timeout_seconds=_WAIT_SECONDS)
        answered = time.time()
    finally:
        client.close()
    wanted = {"scaled", "created", "scheduled", "probed", "published"}
    points.wait("what the watches see", lambda: wanted <= points.seen(model).keys(), _WAIT_SECONDS)
    pod = points.pods(model)[0]
    processes = processes_of(pod)
    log = cluster.kubectl("logs", "-n", NAMESPACE, pod["metadata"]["name"])
    phases = phases_of(
        began,
        {
            **points.seen(model),
            "process": processes.began,
            **server_points(log),
            "released": _released(cluster, model, began),
            "answered": answered,
        },
    )
    return ColdCall(phases=phases, cpu_seconds=processes.cpu_seconds)


def _released(cluster: Cluster, model: str, began: float) -> float:
    def look() -> float | None:
        text = cluster.kubectl(
            "logs", "-n", _SYSTEM, "deployment/atheria-gateway", "--all-containers", "--since=600s"
        )
        return released_point(text.splitlines(), names.model_key(NAMESPACE, model), began)

    return wait_for(
        "the call in the access log",
        look,
        timeout_seconds=60,
        describe=lambda: "is gateway.accessLog on, and one gateway there?",
    )


def _wait_for_zero(cluster: Cluster, points: ClusterPoints, model: str) -> None:
    def is_at_zero() -> bool | None:
        ready = condition(cluster.get("atheriamodel", model, NAMESPACE), "Ready")
        return True if ready.get("reason") == "ScaledToZero" and not points.pods(model) else None

    wait_for("the model at zero", is_at_zero, timeout_seconds=_WAIT_SECONDS, describe=lambda: model)


def _manifest(model: str, image: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "model": {"source": "builtin://qca", "parameters": {"law": "nca"}},
        "hardware": {"profile": "cpu"},
        "scaling": {"maxReplicas": 1, "initialReplicas": 0, "idleTimeout": "2s", "keepAlive": "idleTimeout"},
    }
    if image:
        container = {"name": names.CONTAINER_MODEL, "image": image}
        spec["podTemplate"] = {"spec": {"containers": [container]}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_KIND,
        "metadata": {"name": model, "namespace": NAMESPACE},
        "spec": spec,
    }


def _name(variant: str) -> str:
    return f"tiny-{variant}"


def _local(command: str, *, check: bool = True) -> int:
    program = Path(sys.executable).parent / "atheria-local"
    return subprocess.run([program, command], check=check, stdout=sys.stderr).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.cold_start", description=__doc__)
    parser.add_argument("--calls", type=int, default=12, help="cold calls of each image (default 12)")
    parser.add_argument(
        "--image", action="append", default=[], metavar="NAME=REFERENCE", help="a further server image"
    )
    parser.add_argument(
        "--as-it-is", action="store_true", help="on the cluster that is up, without building and installing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every call's seconds there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the bars there, as SVG")
    return parser


if __name__ == "__main__":
    sys.exit(main())
