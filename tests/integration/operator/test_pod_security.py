"""Every pod of Atheria is let into a namespace that enforces the Pod Security Standard `restricted`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.chart import pod_specs, render
from tests.integration.operator.harness import Cluster, Namespace

ENFORCE = "pod-security.kubernetes.io/enforce=restricted"
_POOL = '[{"name": "l4", "profile": "nvidia-l4"}]'
ALL_PODS = (
    f"--set-json=imagePrePull.pools={_POOL}",
    f"--set-json=placeholders.pools={_POOL}",
)


@pytest.fixture
def strict(bare: Namespace) -> Namespace:
    bare.kubectl("label", "namespace", bare.name, ENFORCE)
    return bare


def pod(namespace: str, name: str, spec: dict[str, Any]) -> str:
    # Whose account and priority class it is says nothing of what the pod may do.
    kept = {
        key: value for key, value in spec.items() if key not in ("serviceAccountName", "priorityClassName")
    }
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": kept,
    }
    return json.dumps(made)


def test_the_namespace_refuses_a_pod_that_says_nothing_of_its_rights(
    cluster: Cluster, strict: Namespace
) -> None:
    careless = pod(strict.name, "careless", {"containers": [{"name": "shell", "image": "busybox"}]})
    refused = cluster.run("create", "--dry-run=server", "-f", "-", stdin=careless)
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_the_charts_own_pods_are_let_in(cluster: Cluster, strict: Namespace) -> None:
    specs = pod_specs(render(*ALL_PODS))
    assert {name.split("/")[0] for name in specs} == {"DaemonSet", "Deployment", "Job"}
    for name, spec in specs.items():
        manifest = pod(strict.name, "let-in", {"restartPolicy": "Always", **spec})
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest)
        assert spec.get("hostNetwork") is None, name


@pytest.mark.usefixtures("operator")
def test_a_models_pods_are_let_in_with_a_cache_and_accelerators_too(strict: Namespace) -> None:
    strict.apply_model("on-cpu", scaling={"minReplicas": 1})
    strict.apply_model("on-gpu", scaling={"minReplicas": 1}, hardware={"profile": "nvidia-l4"})
    for name in ("on-cpu", "on-gpu"):
        (found,) = strict.wait_pods(strict.wait_active(name))
        assert found["spec"]["automountServiceAccountToken"] is False
