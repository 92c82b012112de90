"""What runs before `helm uninstall`: only our finalizer goes, every wait is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client

from atheria_contract import names
from atheria_operator.uninstall import Uninstaller, finalizers_without_ours


class Api:
    """All three APIs: models in memory, a Deployment whose pod may stay."""

    def __init__(self, *finalizers: str, pod_stays: bool = False) -> None:
        self.calls: list[str] = []
        self.now_seconds = 0.0
        self._pod_stays = pod_stays
        metadata = {
            "namespace": "demo",
            "name": "qca",
            "finalizers": list(finalizers),
            "resourceVersion": "7",
        }
        self.models = [{"metadata": metadata}]
        self.conflicts = 0

    def list_cluster_custom_object(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"items": self.models}

    def list_namespaced_custom_object(self, *arguments: Any, **_: Any) -> dict[str, Any]:
        self.calls.append(f"list {arguments[2]}")
        return {"items": [model for model in self.models if model["metadata"]["namespace"] == arguments[2]]}

    def delete_namespaced_custom_object(self, *_: Any, **__: Any) -> None:
        self.calls.append("delete")

    def patch_namespaced_deployment_scale(self, name: str, namespace: str, body: Any, **_: Any) -> None:
        self.calls.append(f"scale {namespace}/{name} {body['spec']['replicas']}")

    def list_namespaced_pod(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(items=["pod"] if self._pod_stays else [])

    def patch_namespaced_custom_object(self, *arguments: Any, **_: Any) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise client.ApiException(status=409)
        patch = arguments[5]
        assert patch["metadata"]["resourceVersion"] == "7"
        self.models[0]["metadata"]["finalizers"] = patch["metadata"]["finalizers"]
        self.calls.append("strip")

    def delete_namespaced_lease(self, name: str, namespace: str, **_: Any) -> None:
        self.calls.append(f"lease {namespace}/{name}")

    def sleep(self, seconds: float) -> None:
        self.now_seconds += seconds

    def run(self, *, delete_models: bool = False, namespaces: Sequence[str] = ()) -> None:
        api: Any = self
        uninstaller = Uninstaller(
            objects=api,
            apps=api,
            core=api,
            leases=api,
            namespaces=namespaces,
            now=lambda: self.now_seconds,
            sleep=self.sleep,
        )
        uninstaller.run(
            namespace="atheria-system", deployment="op", delete_models=delete_models, timeout_seconds=40
        )


STOPPED = ("scale atheria-system/op 0", "lease atheria-system/atheria-operator")
"""The operator, and its Lease goes after it."""


def test_the_operator_is_stopped_before_its_finalizer_is_taken_off() -> None:
    api = Api(names.FINALIZER, "other.dev/keep")
    api.run()
    assert api.calls == [*STOPPED, "strip"]
    assert api.models[0]["metadata"]["finalizers"] == ["other.dev/keep"]


def test_with_named_namespaces_only_these_are_looked_at() -> None:
    api = Api(names.FINALIZER)
    api.run(namespaces=["team-a", "demo"])
    round_of_lists = ["list team-a", "list demo"]
    assert api.calls == [*STOPPED, *round_of_lists, "strip", *round_of_lists]
    elsewhere = Api(names.FINALIZER)
    elsewhere.run(namespaces=["team-a"])
    assert "strip" not in elsewhere.calls


def test_a_stuck_operator_and_stuck_models_only_cost_time() -> None:
    api = Api(names.FINALIZER, pod_stays=True)
    api.run(delete_models=True)
    assert api.calls == ["delete", *STOPPED, "strip"]
    assert api.now_seconds <= 40


def test_a_conflict_is_tried_again_and_a_refusal_is_raised() -> None:
    api = Api(names.FINALIZER)
    api.conflicts = 2
    api.run()
    assert api.models[0]["metadata"]["finalizers"] is None
    stubborn = Api(names.FINALIZER)
    stubborn.conflicts = 99
    with pytest.raises(client.ApiException):
        stubborn.run()


def test_the_finalizers_of_others_stay_in_their_order() -> None:
    assert finalizers_without_ours({"finalizers": ["b", names.FINALIZER, "a"]}) == ["b", "a"]
    assert finalizers_without_ours({}) == []
