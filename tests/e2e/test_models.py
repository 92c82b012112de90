"""What a person who applies models sees: refusals, the scheduler's words, repairs, and a clean removal."""

from __future__ import annotations

import json

import pytest

from atheria_cli.cluster import Cluster, ClusterError, wait_for
from atheria_contract import names
from tests.e2e.model import NAMESPACE, apply, delete, manifest, wait_condition


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scaling": {"minReplicas": 4, "maxReplicas": 2}}, "minReplicas"),
        ({"modle": {}}, 'unknown field "spec.modle"'),
        ({"model": {"source": "ftp://x/y"}}, "builtin://"),
    ],
    ids=["min above max", "unknown field", "unknown scheme"],
)
def test_a_wrong_model_is_refused_by_kubectl_apply(
    cluster: Cluster, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ClusterError) as refused:
        apply(cluster, manifest("wrong", **change))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("change", "kind", "reason", "words"),
    [
        ({"model": {"source": "builtin://nothing"}}, "Accepted", "UnknownSource", "qca"),
        ({"hardware": {"profile": "tpu"}}, "Accepted", "ProfileNotFound", "nvidia-l4"),
        (
            {
                "model": {
                    "source": "builtin://qca",
                    "parameters": {"law": "nca"},
                    "digest": f"sha256:{'0' * 64}",
                },
                "scaling": {"minReplicas": 1, "maxReplicas": 1},
            },
            "Ready",
            "DigestMismatch",
            "digest",
        ),
        (
            {"hardware": {"profile": "nvidia-l4"}, "scaling": {"minReplicas": 1, "maxReplicas": 1}},
            "Ready",
            "Unschedulable",
            "0/1 nodes are available",
        ),
    ],
    ids=["unknown builtin", "missing profile", "wrong digest", "no such GPU"],
)
def test_a_model_that_cannot_run_says_why_in_its_status(
    cluster: Cluster, change: dict[str, object], kind: str, reason: str, words: str
) -> None:
    name = "cannot"
    apply(cluster, manifest(name, **change))
    try:
        found = wait_condition(cluster, name, kind, status="False", reason=reason)
        assert words in found["message"]
    finally:
        delete(cluster, name)


def test_a_deleted_child_comes_back(cluster: Cluster) -> None:
    name = "repair"
    apply(cluster, manifest(name))
    try:
        wait_condition(cluster, name, "Accepted", status="True")
        deployment = wait_for(
            "the active revision",
            lambda: cluster.get("atheriamodel", name, NAMESPACE).get("status", {}).get("activeRevision"),
            timeout_seconds=60,
            describe=str,
        )
        for kind, child in (("service", name), ("deployment", deployment), ("configmap", deployment)):
            before = cluster.get(kind, child, NAMESPACE)["metadata"]["uid"]
            cluster.kubectl("delete", kind, child, "-n", NAMESPACE, "--wait=false")

            def fresh(kind: str = kind, child: str = child, before: str = before) -> bool | None:
                items = json.loads(cluster.kubectl("get", kind, "-n", NAMESPACE, "-o", "json"))["items"]
                found = [
                    i for i in items if i["metadata"]["name"] == child and i["metadata"]["uid"] != before
                ]
                return True if found else None

            wait_for(
                f"a new {kind} {child}", fresh, timeout_seconds=60, describe=lambda: "it did not come back"
            )
    finally:
        delete(cluster, name)


def test_kubectl_explains_every_part_and_lists_the_columns(cluster: Cluster) -> None:
    text = cluster.kubectl("explain", "atheriamodel.spec.scaling.idleTimeout")
    assert "idleTimeout" in text
    assert "Default" in text or "default" in text
    name = "columns"
    apply(cluster, manifest(name, scaling={"minReplicas": 0, "maxReplicas": 1, "initialReplicas": 0}))
    try:
        wait_condition(cluster, name, "Ready", status="True", reason="ScaledToZero")
        header, row = cluster.kubectl("get", "am", name, "-n", NAMESPACE).splitlines()
        assert header.split() == [
            "NAME",
            "READY",
            "REASON",
            "REVISION",
            "REPLICAS",
            "QUEUE",
            "COST/1K",
            "URL",
            "AGE",
        ]
        assert row.split()[:3] == [name, "True", "ScaledToZero"]
    finally:
        delete(cluster, name)


def test_deleting_a_model_removes_its_children(cluster: Cluster) -> None:
    name = "gone"
    apply(cluster, manifest(name))
    wait_condition(cluster, name, "Accepted", status="True")
    delete(cluster, name)

    def empty() -> bool | None:
        left = json.loads(
            cluster.kubectl(
                "get",
                "deployments,services,configmaps,pods",
                "-n",
                NAMESPACE,
                "-l",
                f"{names.LABEL_MODEL}={name}",
                "-o",
                "json",
            )
        )["items"]
        return True if not left else None

    wait_for(
        f"the children of {name} gone",
        empty,
        timeout_seconds=90,
        describe=lambda: "garbage collection left some",
    )
