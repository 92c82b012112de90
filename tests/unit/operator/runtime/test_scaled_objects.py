"""The ScaledObject of a model: made, kept, put right, removed; and what is said where KEDA is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, ModelKey
from atheria_operator.runtime.ports import CONFLICT, FORBIDDEN, NOT_FOUND, ClusterError, ObjectRef
from atheria_operator.runtime.scaled_objects import (
    KEDA_MISSING,
    NAME_CONFLICT,
    REFUSED,
    REPLACED,
    SCALER_OFF,
    ScaledObjects,
)

KEY = ModelKey(namespace="demo", name="qca")
ADDRESS = "atheria-operator.atheria-system:8004"


class Cluster:
    """An API server with at most one object."""

    def __init__(self) -> None:
        self.live: dict[str, Any] | None = None
        self.error: ClusterError | None = None
        self.applied = 0
        self.deleted: list[str] = []

    async def read(self, _: ObjectRef) -> Mapping[str, Any] | None:
        return self.live

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        assert manager == names.FIELD_MANAGER_OPERATOR
        if self.error:
            raise self.error
        self.applied += 1
        self.live = {**body, "metadata": {**body["metadata"], "uid": "uid-of-it"}}
        return self.live

    async def delete(self, _: ObjectRef, uid: str) -> None:
        self.deleted.append(uid)


Intents = Callable[..., ModelIntent]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def keeper(cluster: Any, address: str = ADDRESS) -> ScaledObjects:
    return ScaledObjects(KEY, cluster, address, names.FIELD_MANAGER_OPERATOR)


async def test_it_is_made_once_and_put_right_where_somebody_changed_it(
    cluster: Cluster, intent: Intents
) -> None:
    wanted = intent(scaling={"class": "keda", "maxReplicas": 3})
    for _ in range(2):
        view = await keeper(cluster).keep(wanted)
        assert view.problem is None
        assert view.live is not None
    assert cluster.applied == 1
    assert cluster.live is not None
    cluster.live["spec"] = {**cluster.live["spec"], "maxReplicaCount": 30}
    await keeper(cluster).keep(wanted)
    assert cluster.live["spec"]["maxReplicaCount"] == 3


async def test_what_keda_adds_is_left_alone(cluster: Cluster, intent: Intents) -> None:
    wanted = intent(scaling={"class": "keda"})
    await keeper(cluster).keep(wanted)
    assert cluster.live is not None
    cluster.live["metadata"] = {**cluster.live["metadata"], "finalizers": ["finalizer.keda.sh"]}
    cluster.live["status"] = {"conditions": []}
    await keeper(cluster).keep(wanted)
    assert cluster.applied == 1


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (NOT_FOUND, KEDA_MISSING, "install KEDA"),
        (FORBIDDEN, REFUSED, "denied by a webhook"),
        (422, REFUSED, "denied by a webhook"),
    ],
)
async def test_a_refusal_is_told(
    cluster: Cluster, intent: Intents, status: int, reason: str, words: str
) -> None:
    cluster.error = ClusterError(status, "denied by a webhook")
    view = await keeper(cluster).keep(intent(scaling={"class": "keda"}))
    assert view.problem is not None
    assert view.problem.reason == reason
    assert words in view.problem.message


async def test_a_failure_that_may_pass_is_raised(cluster: Cluster, intent: Intents) -> None:
    cluster.error = ClusterError(CONFLICT, "modified")
    with pytest.raises(ClusterError):
        await keeper(cluster).keep(intent(scaling={"class": "keda"}))


async def test_without_the_operators_scaler_none_is_made(cluster: Cluster, intent: Intents) -> None:
    view = await keeper(cluster, "").keep(intent(scaling={"class": "keda"}))
    assert view.problem is not None
    assert view.problem.reason == SCALER_OFF
    assert cluster.applied == 0


async def test_somebody_elses_of_the_same_name_is_neither_changed_nor_deleted(
    cluster: Cluster, intent: Intents
) -> None:
    cluster.live = {"metadata": {"name": "qca", "uid": "theirs"}, "spec": {}}
    view = await keeper(cluster).keep(intent(scaling={"class": "keda"}))
    assert view.problem is not None
    assert view.problem.reason == NAME_CONFLICT
    await keeper(cluster).remove("uid-1")
    assert (cluster.applied, cluster.deleted) == (0, [])


async def test_one_that_is_being_deleted_is_waited_for(cluster: Cluster, intent: Intents) -> None:
    wanted = intent(scaling={"class": "keda"})
    await keeper(cluster).keep(wanted)
    assert cluster.live is not None
    cluster.live["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    view = await keeper(cluster).keep(wanted)
    assert view.problem is not None
    assert view.problem.reason == REPLACED
    await keeper(cluster).remove("uid-1")
    assert cluster.deleted == []


async def test_its_own_is_deleted_by_uid_and_an_absent_one_is_fine(cluster: Cluster, intent: Intents) -> None:
    await keeper(cluster).remove("uid-1")
    await keeper(cluster).keep(intent(scaling={"class": "keda"}))
    await keeper(cluster).remove("uid-1")
    assert cluster.deleted == ["uid-of-it"]
