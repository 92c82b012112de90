"""A cheaper variant in a real pod: proved before it is ready, refused where it is wrong, compiled once for two starts."""

from __future__ import annotations

from typing import Any

import tritonclient.grpc as triton

from atheria_cli.cluster import Cluster, wait_for
from tests.e2e.model import GATEWAY, NAMESPACE, apply, delete, infer, manifest, ripple, wait_condition

ONE = {"minReplicas": 1, "maxReplicas": 1}


def status_of(cluster: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("atheriamodel", name, NAMESPACE).get("status", {})
    return found


def test_the_hierarchy_of_the_seeds_is_proved_and_then_serves(cluster: Cluster) -> None:
    name = "hierarchy"
    apply(cluster, manifest(name, precision={"policy": "hierarchy"}, scaling=ONE))
    try:
        accepted = wait_condition(cluster, name, "QualityAccepted", status="True", reason="Passed")
        assert "limit" in accepted["message"]
        status = status_of(cluster, name)
        assert status["precision"]["chosen"] == "hierarchy"
        assert 0 < status["precision"]["weightBytes"] < 38464 / 3
        assert {m["name"] for m in status["quality"]["metrics"]} >= {"F_8", "C4_32"}
    finally:
        delete(cluster, name)


def test_nf4_everywhere_is_refused_by_name_and_never_ready(cluster: Cluster) -> None:
    name = "nf4"
    apply(cluster, manifest(name, precision={"policy": "nf4"}, scaling=ONE))
    try:
        refused = wait_condition(cluster, name, "QualityAccepted", status="False", reason="QualityRejected")
        assert "C4_" in refused["message"]
        ready = wait_condition(cluster, name, "Ready", status="False", reason="QualityRejected")
        assert "allowed is at most" in ready["message"]
    finally:
        delete(cluster, name)


def test_the_images_compiler_works_and_a_second_pod_compiles_nothing(cluster: Cluster) -> None:
    """The cache outlives a container in an emptyDir: the second start of the container is the second pod's."""
    name = "compiled"
    spec = manifest(
        name,
        compile={"mode": "default", "rowBuckets": [1]},
        batching={"maxBatchSize": 1, "maxLatency": "50ms"},
        warmup={"shapes": [[16, 16, 16]]},
        cache={"emptyDir": {"sizeLimit": "1Gi"}},
        scaling=ONE,
    )
    apply(cluster, spec)
    try:
        # Inductor and a compiler of C++ on what the machine has left.
        wait_condition(cluster, name, "Ready", status="True", reason="Ready", timeout_seconds=300)
        first = wait_for(
            "the report of the first start",
            lambda: status_of(cluster, name).get("compileCache"),
            timeout_seconds=60,
            describe=str,
        )
        assert first["result"] == "miss"
        assert first["graphs"] >= 1
        with triton.InferenceServerClient(GATEWAY) as client:
            assert infer(client, name, ripple(7, 16), steps=3).shape == (1, 16, 16, 16)
        pod = cluster.kubectl(
            "get", "pods", "-n", NAMESPACE, "-l", f"atheria.dev/model={name}", "-o", "name"
        ).strip()
        cluster.kubectl(
            "exec", "-n", NAMESPACE, pod, "-c", "model", "--", "python", "-c", "import os; os.kill(1, 15)"
        )
        second = wait_for(
            "the report of the second start",
            lambda: (
                found
                if (found := status_of(cluster, name).get("compileCache", {})).get("result") == "hit"
                else None
            ),
            timeout_seconds=300,
            describe=lambda: str(status_of(cluster, name).get("compileCache")),
        )
        assert second["seconds"] < first["seconds"]
    finally:
        delete(cluster, name)
