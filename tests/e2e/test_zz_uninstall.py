"""Last, because it removes the release: `helm uninstall` leaves no object that cannot be deleted."""

from __future__ import annotations

import json
from pathlib import Path

from atheria_cli.demo.cluster import Cluster, ClusterError
from atheria_cli.demo.show import SYSTEM_NAMESPACE, DemoOptions, install
from tests.e2e.model import NAMESPACE, apply, manifest, wait_condition

ROOT = Path(__file__).parents[2]


def test_helm_uninstall_with_models_present_leaves_no_stuck_finalizer(cluster: Cluster) -> None:
    apply(cluster, manifest("left"))
    wait_condition(cluster, "left", "Accepted", status="True")
    try:
        cluster.helm("uninstall", "atheria", "-n", SYSTEM_NAMESPACE, "--wait", "--timeout", "3m")
        cluster.kubectl("delete", "atheriamodels", "--all", "-n", NAMESPACE, "--timeout=30s")
        left = json.loads(cluster.kubectl("get", "atheriamodels", "-A", "-o", "json"))["items"]
        assert [m["metadata"]["name"] for m in left if m["metadata"]["namespace"] == NAMESPACE] == []
    except ClusterError as error:
        raise AssertionError(str(error)) from error
    finally:
        install(
            cluster,
            DemoOptions(repository=ROOT, local=True, context="", values=(), picture=Path("unused.png")),
        )
