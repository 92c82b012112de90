"""The local cluster as the benchmark of releases uses it: fresh ones, Helm's commands, and a model to call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from atheria_cli.cluster import Cluster, wait_for
from atheria_cli.demo.show import SYSTEM_NAMESPACE
from atheria_cli.model.summary import condition
from atheria_contract import names
from bench.release.calls import Targets

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "atheria"
RELEASED: Final = ROOT / "tests" / "integration" / "chart" / "released" / "atheria-0.1.0"
"""The chart before the present one."""
NAMESPACE: Final = "bench-release"
WAIT_SECONDS: Final = 180.0


def cluster_here() -> Cluster:
    """kubectl and Helm on this checkout's local cluster."""
    return Cluster(programs=ROOT / ".local" / "bin", kubeconfig=ROOT / ".local" / "kubeconfig")


def local(*arguments: str, check: bool = True) -> int:
    """`atheria-local`; its words go to stderr."""
    command = [sys.executable, "-m", "atheria_local", *arguments]
    return subprocess.run(command, check=check, stdout=sys.stderr, cwd=ROOT, timeout=3000).returncode


def load_images(checkout: Path) -> None:
    """Build and load the images of another checkout; its cluster need not be up. CalledProcessError where that fails."""
    (checkout / ".local").mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "atheria_local", "images"],
        check=True,
        stdout=sys.stderr,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "local")},
        timeout=3000,
    )


def chart_arguments(chart: Path, values: Sequence[str] = (), images_of: Path = ROOT) -> list[str]:
    """Of `helm install` and `helm upgrade`, with the chart's own values for this machine and the images of a checkout; `values` are `key=value`, as for --set."""
    files = (chart / "values-local.yaml", images_of / ".local" / "images.yaml")
    chosen = [part for value in values for part in ("--set", value)]
    return [str(chart), *(part for file in files for part in ("-f", str(file))), *chosen]


def helm_arguments() -> list[str]:
    """Of every command that changes the release: where, and until all is ready."""
    return ["-n", SYSTEM_NAMESPACE, "--wait", "--timeout", "3m"]


def echo_model(name: str, scaling: Mapping[str, Any]) -> dict[str, Any]:
    """An AtheriaModel that gives back what it gets."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"source": "builtin://echo"},
            "hardware": {"profile": "cpu"},
            "scaling": dict(scaling),
        },
    }


def make_namespace(cluster: Cluster) -> None:
    """NAMESPACE, where it is not there yet."""
    made = cluster.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "yaml")
    cluster.kubectl("apply", "-f", "-", stdin=made)


def serve_echo(cluster: Cluster, name: str) -> Targets:
    """Serve a warm model, and where it is called."""
    make_namespace(cluster)
    model = echo_model(name, {"minReplicas": 1, "maxReplicas": 1})
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(model))
    wait_for(
        f"a ready {name}",
        lambda: True if _ready(cluster, name).get("status") == "True" else None,
        timeout_seconds=WAIT_SECONDS,
        describe=lambda: str(_ready(cluster, name)),
    )
    return Targets(
        model=name,
        namespace=NAMESPACE,
        gateway_grpc=f"127.0.0.1:{names.PORT_GRPC}",
        gateway_rest=f"127.0.0.1:{names.PORT_HTTP}",
        service=cluster.get("service", name, NAMESPACE)["spec"]["clusterIP"],
    )


def _ready(cluster: Cluster, name: str) -> dict[str, Any]:
    return condition(cluster.get("atheriamodel", name, NAMESPACE), "Ready")
