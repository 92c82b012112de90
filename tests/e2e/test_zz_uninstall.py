"""Last, because it removes the release: `helm uninstall` leaves the definitions and their objects, none of which is stuck, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from atheria_cli.cluster import Cluster, ClusterError, wait_for
from atheria_cli.demo.show import SYSTEM_NAMESPACE
from atheria_contract import names
from bench.release.local_cluster import CHART, chart_arguments, helm_arguments
from tests.e2e.model import NAMESPACE, apply, manifest, wait_condition
from tests.e2e.objects import everything

KEPT = frozenset(
    f"CustomResourceDefinition//{plural}.{names.GROUP}"
    for plural in (names.MODEL_PLURAL, names.PROFILE_PLURAL)
)
GONE_SECONDS = 180
"""What belonged to deleted objects goes by itself."""


def _is_kept(name: str) -> bool:
    """Definitions, their objects, and the two namespaces, which no release of Helm's removes; and what Kubernetes itself makes."""
    kind, namespace, plain = name.split("/", 2)
    by_kubernetes = (
        kind == "APIService"
        or f"{kind}/{plain}" in ("ServiceAccount/default", "ConfigMap/kube-root-ca.crt")
        or (kind == "ServiceAccount" and namespace == "kube-system")
    )
    return (
        by_kubernetes
        or name in KEPT
        or kind in (names.MODEL_KIND, names.PROFILE_KIND)
        or (kind == "Namespace" and plain in (SYSTEM_NAMESPACE, NAMESPACE))
    )


def test_helm_uninstall_with_models_present_leaves_no_stuck_finalizer_and_nothing_but_what_is_kept(
    cluster: Cluster, bare: Any
) -> None:
    # What the tests before made for themselves.
    foreign = {name for name in everything(cluster) if f"/{NAMESPACE}/" in name}
    apply(cluster, manifest("left"))
    wait_condition(cluster, "left", "Accepted", status="True")
    try:
        cluster.helm("uninstall", "atheria", "-n", SYSTEM_NAMESPACE, "--wait", "--timeout", "3m")
        kept = cluster.get(names.MODEL_PLURAL, "left", NAMESPACE)
        assert "finalizers" not in kept["metadata"]
        cluster.kubectl("delete", "atheriamodels", "--all", "-n", NAMESPACE, "--timeout=30s")
        left = json.loads(cluster.kubectl("get", "atheriamodels", "-A", "-o", "json"))["items"]
        assert [m["metadata"]["name"] for m in left if m["metadata"]["namespace"] == NAMESPACE] == []
        if not bare.was_up:
            _wait_until_only_the_kept_are_left(cluster, bare.objects | foreign)
    except ClusterError as error:
        raise AssertionError(str(error)) from error
    finally:
        present = chart_arguments(CHART)
        cluster.helm("upgrade", "--install", "atheria", *present, *helm_arguments())


def _wait_until_only_the_kept_are_left(cluster: Cluster, before: frozenset[str]) -> None:
    last: set[str] = set()

    def none() -> bool | None:
        nonlocal last
        last = {name for name in everything(cluster) - before if not _is_kept(name)}
        return None if last else True

    wait_for(
        "the end of what the release made",
        none,
        timeout_seconds=GONE_SECONDS,
        describe=lambda: str(sorted(last)),
    )
    assert everything(cluster) >= KEPT
