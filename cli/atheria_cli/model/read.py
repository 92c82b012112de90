"""Models as kubectl reads them. Called by every command that looks at the cluster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from atheria_cli.kubectl import Kubectl, in_namespace
from atheria_contract import names

KIND: Final = f"{names.MODEL_PLURAL}.{names.GROUP}"
"""As kubectl is asked for it, so that no other group's kind is meant."""


def read_model(cluster: Kubectl, name: str, namespace: str) -> dict[str, Any]:
    """One model. Raises ClusterError, with the exit code NOT_FOUND where there is none of that name."""
    found: dict[str, Any] = json.loads(
        cluster.kubectl("get", KIND, name, *in_namespace(namespace), "-o", "json")
    )
    return found


def read_models(cluster: Kubectl, namespace: str, *, everywhere: bool) -> Sequence[Mapping[str, Any]]:
    """Models of a namespace or of all, by namespace and name."""
    where = ("--all-namespaces",) if everywhere else in_namespace(namespace)
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", KIND, *where, "-o", "json"))["items"]
    return sorted(items, key=lambda body: (body["metadata"].get("namespace", ""), body["metadata"]["name"]))
