"""The programs that the chart starts exist, and the two that only the chart starts do what it relies on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from atheria_contract import names
from atheria_operator.install_profiles import ProfileFileError, apply_profiles, read_profiles
from atheria_operator.uninstall import Uninstaller, finalizers_without_ours
from tests.contract.chart import CHART, containers, pod_specs, render

OTHERS = "other.dev/keep"
LEASE = f"delete lease {names.LEASE_OPERATOR}"


def test_every_python_module_that_the_chart_starts_exists() -> None:
    commands = [c.get("command", []) for pod in pod_specs(render()).values() for c in containers(pod)]
    modules = [command[2] for command in commands if command[:2] == ["python", "-m"]]
    assert set(modules) == {"atheria_operator.install_profiles", "atheria_operator.uninstall"}
    assert all(importlib.util.find_spec(module) for module in modules)


class _Cluster:
    """As much of the API as the uninstaller uses; `operator_cleans_up` lets deleted models go at once."""

    def __init__(self, *models: str, operator_cleans_up: bool = True, pods: int = 0) -> None:
        self.store = {
            name: {
                "metadata": {
                    "namespace": "demo",
                    "name": name,
                    "resourceVersion": "1",
                    "finalizers": [names.FINALIZER, OTHERS],
                }
            }
            for name in models
        }
        self.operator_cleans_up = operator_cleans_up
        self.pods = pods
        self.conflicts = 0
        self.calls: list[str] = []
        self.time = 0.0

    def list_cluster_custom_object(self, *_: str, **__: Any) -> dict[str, Any]:
        return {"items": [dict(model) for model in self.store.values()]}

    def delete_namespaced_custom_object(
        self, _g: str, _v: str, _n: str, _p: str, name: str, **__: Any
    ) -> None:
        self.calls.append(f"delete {name}")
        if self.operator_cleans_up:
            del self.store[name]

    def patch_namespaced_custom_object(
        self, _g: str, _v: str, _n: str, _p: str, name: str, body: dict[str, Any], **__: Any
    ) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise ApiException(status=409, reason="Conflict")
        self.calls.append(f"patch {name}")
        self.store[name]["metadata"]["finalizers"] = body["metadata"]["finalizers"]

    def patch_namespaced_deployment_scale(self, name: str, _namespace: str, body: Any, **_: Any) -> None:
        self.calls.append(f"scale {name} {body['spec']['replicas']}")

    def list_namespaced_pod(self, *_: str, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(items=[object()] * self.pods)

    def delete_namespaced_lease(self, name: str, _namespace: str, **_: Any) -> None:
        self.calls.append(f"delete lease {name}")
        raise ApiException(status=404, reason="Not Found")

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def uninstall(self, *, delete: bool = False) -> None:
        uninstaller = Uninstaller(
            objects=self, apps=self, core=self, leases=self, now=lambda: self.time, sleep=self.sleep
        )
        uninstaller.run(namespace="system", deployment="op", delete_models=delete, timeout_seconds=100)


def test_models_stay_and_lose_only_our_finalizer_after_the_operator_is_stopped() -> None:
    cluster = _Cluster("a", "b")
    cluster.uninstall()
    assert cluster.calls == ["scale op 0", LEASE, "patch a", "patch b"]
    assert [model["metadata"]["finalizers"] for model in cluster.store.values()] == [[OTHERS], [OTHERS]]


def test_models_are_deleted_while_the_operator_still_cleans_up() -> None:
    cluster = _Cluster("a")
    cluster.uninstall(delete=True)
    assert cluster.calls == ["delete a", "scale op 0", LEASE]


def test_a_dead_operator_delays_the_uninstall_by_no_more_than_its_bound() -> None:
    cluster = _Cluster("a", operator_cleans_up=False, pods=1)
    cluster.uninstall(delete=True)
    assert cluster.calls == ["delete a", "scale op 0", LEASE, "patch a"]
    assert cluster.time < 100


def test_a_concurrent_change_of_a_model_is_tried_again() -> None:
    cluster = _Cluster("a")
    cluster.conflicts = 2
    cluster.uninstall()
    assert cluster.store["a"]["metadata"]["finalizers"] == [OTHERS]


def test_finalizers_of_others_keep_their_order() -> None:
    assert finalizers_without_ours({"finalizers": ["x", names.FINALIZER, "y"]}) == ["x", "y"]
    assert finalizers_without_ours({}) == []


def test_the_shipped_profiles_can_be_read() -> None:
    assert len(read_profiles(CHART / "files" / "profiles")) == 7


@pytest.mark.parametrize(
    ("text", "word"),
    [("kind: Pod", "'Pod'"), ("[1]", "'list'"), ("kind: AtheriaHardwareProfile", "metadata.name")],
)
def test_a_file_that_is_no_profile_is_named(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ProfileFileError, match=r"wrong\.yaml") as error:
        read_profiles(tmp_path)
    assert word in str(error.value)


def test_a_refused_profile_is_an_error_at_once_and_a_missing_definition_after_the_bound() -> None:
    profile = {"metadata": {"name": "p"}}

    class Api:
        status = 422

        def patch_cluster_custom_object(self, *_: Any, **__: Any) -> None:
            raise ApiException(status=self.status, reason="no")

    api = Api()
    with pytest.raises(ApiException):
        apply_profiles(api, [profile], timeout_seconds=60)
    api.status = 404
    with pytest.raises(TimeoutError, match=r"crds\.enabled"):
        apply_profiles(api, [profile], timeout_seconds=0)
