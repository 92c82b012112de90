"""Scheduling on GPU pools, with pretended devices: the scheduler is real, nobody computes on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_cli.cluster import Cluster
from tests.e2e.model import NAMESPACE, apply, delete, live_pods, manifest, wait_condition

ROOT = Path(__file__).parents[2]
SMALL = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}


def pretend(count: int) -> None:
    subprocess.run(
        [sys.executable, "-m", "atheria_local", "up", "--gpus", f"nvidia-l4={count}"],
        cwd=ROOT,
        timeout=120,
        check=True,
    )


@pytest.fixture
def one_l4(cluster: Cluster) -> Iterator[None]:
    pretend(1)
    yield
    pretend(0)


def on_l4(name: str) -> dict[str, Any]:
    """A model for the profile nvidia-l4, made small enough for the test's node by podTemplate."""
    return manifest(
        name,
        hardware={"profile": "nvidia-l4"},
        scaling={"minReplicas": 1, "maxReplicas": 1},
        podTemplate={"spec": {"containers": [{"name": "model", "resources": SMALL}]}},
    )


def test_the_first_model_gets_the_only_gpu_and_the_second_says_what_it_waits_for(
    cluster: Cluster, one_l4: None
) -> None:
    try:
        apply(cluster, on_l4("first"))
        wait_condition(cluster, "first", "Ready", status="True")
        (pod,) = live_pods(cluster, "first")
        spec = cluster.get("pod", pod, NAMESPACE)["spec"]
        assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert spec["containers"][0]["resources"]["requests"]["cpu"] == "50m"

        apply(cluster, on_l4("second"))
        waiting = wait_condition(cluster, "second", "Ready", status="False", reason="Unschedulable")
        assert "Insufficient nvidia.com/gpu" in waiting["message"]

        delete(cluster, "first")
        wait_condition(cluster, "second", "Ready", status="True")
    finally:
        delete(cluster, "first")
        delete(cluster, "second")
