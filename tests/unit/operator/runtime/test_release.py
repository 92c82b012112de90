"""Models whose deletion waits for the operator for two looks are let go, with others' finalizers kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.runtime.ports import CONFLICT, ClusterError
from atheria_operator.runtime.release import Release, delete_workloads
from atheria_operator.runtime.sight import Sight


def model(
    name: str, *, is_leaving: bool = True, finalizers: Sequence[str] = (names.FINALIZER,)
) -> dict[str, Any]:
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if is_leaving else {}
    return {
        "uid": name,
        "namespace": "demo",
        "name": name,
        "resourceVersion": "7",
        "finalizers": list(finalizers),
        **leaving,
    }


class Models:
    def __init__(self, *listed: Mapping[str, Any]) -> None:
        self.listed = listed
        self.written: list[tuple[str, list[str], str]] = []
        self.deleted: list[tuple[str, str, str]] = []
        self.refusal: ClusterError | None = None

    async def list_metadata(self) -> Sequence[Mapping[str, Any]]:
        return self.listed

    async def set_finalizers(
        self, namespace: str, name: str, finalizers: Sequence[str], version: str
    ) -> None:
        if self.refusal:
            raise self.refusal
        self.written.append((name, list(finalizers), version))

    async def delete_workloads(self, namespace: str, name: str, uid: str) -> int:
        assert self.refusal or not self.written, "its Deployments go before it is let go"
        self.deleted.append((namespace, name, uid))
        return 1


async def test_at_the_second_look_and_not_before() -> None:
    models = Models(
        model("waits", finalizers=["other/one", names.FINALIZER]),
        model("stays", is_leaving=False),
        model("others", finalizers=["other/one"]),
    )
    left: list[str] = []
    sight = Sight()
    sight.told("stays", is_deleted=False)
    release = Release(models, sight, lambda one: left.append(one.uid))
    await release.check()
    assert models.written == []
    assert (left, release.leaving) == (["waits"], {"waits"}), "its loops end before anything is deleted"
    await release.check()
    assert models.written == [("waits", ["other/one"], "7")]
    assert models.deleted == [("demo", "waits", "waits")]


@pytest.mark.parametrize(
    "kept", [model("stays", is_leaving=False), model("left", finalizers=[names.FINALIZER, "orphan"])]
)
async def test_workloads_stay_while_the_model_does_and_where_its_deletion_orphans_them(kept: Any) -> None:
    models = Models(kept)
    await delete_workloads(models, kept)
    assert models.deleted == []


async def test_one_that_changed_meanwhile_is_looked_at_again_and_a_refusal_is_told() -> None:
    models = Models(model("waits"))
    release = Release(models, Sight())
    await release.check()
    models.refusal = ClusterError(CONFLICT, "modified")
    await release.check()
    models.refusal = None
    await release.check()
    assert models.written == [("waits", [], "7")]
    models.refusal = ClusterError(403, "no")
    with pytest.raises(ClusterError):
        await release.check()
