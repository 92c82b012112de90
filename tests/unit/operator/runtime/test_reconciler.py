"""The reconcile loop against a cluster in memory: the order of writes, and what stops it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.status.figures import StatusFigures
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import CONFLICT, ClusterError, ObjectRef
from atheria_operator.runtime.reconciler import ReconcilePorts, Reconciler, View
from atheria_operator.runtime.upgrade_wave import UpgradeWave

KEY = ModelKey(namespace="demo", name="qca")
PROFILES = {"cpu": {"metadata": {"name": "cpu"}, "spec": {}}}
Bodies = Callable[..., dict[str, Any]]


class Memory:
    """Objects by kind and name, with the ownership of spec.replicas as the API server keeps it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.status: Mapping[str, Any] = {}
        self.version = 100
        self.refuse: Callable[[Mapping[str, Any], str], ClusterError | None] = lambda _, __: None

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        return self.objects.get((ref.kind, ref.name))

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        if error := self.refuse(body, manager):
            raise error
        key = (body["kind"], body["metadata"]["name"])
        old = self.objects.get(key, {"metadata": {}, "spec": {}})
        managers = {entry["manager"] for entry in old["metadata"].get("managedFields", ())}
        replicas = (body.get("spec") or {}).get("replicas")
        managers = managers | {manager} if replicas is not None else managers - {manager}
        spec = {**(old.get("spec") or {}), **(body.get("spec") or {})}
        if body["kind"] == "Deployment" and not managers:
            spec["replicas"] = 1
        self.version += 1
        self.calls.append(f"{body['kind']} {manager} replicas={replicas}")
        self.objects[key] = {
            **old,
            **body,
            "spec": spec,
            "metadata": {
                **old["metadata"],
                **body["metadata"],
                "uid": f"{key}",
                "resourceVersion": str(self.version),
                "managedFields": [
                    {"manager": m, "fieldsV1": {"f:spec": {"f:replicas": {}}}} for m in sorted(managers)
                ],
            },
        }
        return self.objects[key]

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        self.version += 1
        self.calls.append("status")
        self.status = status
        return {"metadata": {"resourceVersion": str(self.version)}}

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        self.calls.append(f"delete {ref.kind} {ref.name}")
        del self.objects[ref.kind, ref.name]


class Rig:
    """A reconciler with all its ports, also their recorder."""

    def __init__(self) -> None:
        self.cluster = Memory()
        self.events: list[tuple[bool, str]] = []
        self.figures: list[StatusFigures] = []
        self.devices = ("", 0)
        self.pods: tuple[Mapping[str, Any], ...] = ()
        self.reports: dict[str, Mapping[str, Any]] = {}
        ports: Any = self
        self.loop = Reconciler(
            KEY,
            ReconcilePorts(
                cluster=ports.cluster,
                demand=ports,
                clock=ports,
                events=ports,
                telemetry=ports,
                upgrades=UpgradeWave(at_once=1),
            ),
            ServerDefaults(image="server:1"),
            (),
            self.reports,
            {},
            Meter(ports, {}),
        )

    def demand(self, _: ModelKey) -> None:
        return None

    def revision_calls(self, _: ModelKey) -> Mapping[str, Any]:
        return {}

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def reported(self, _: ModelKey, figures: StatusFigures) -> None:
        self.figures.append(figures)

    def holds(self, _: ModelKey, profile: str, devices: int) -> None:
        self.devices = (profile, devices)

    def publish(self, _: Any, *, is_warning: bool, reason: str, message: str) -> None:
        self.events.append((is_warning, reason))

    async def round(self, body: dict[str, Any]) -> float | None:
        def look() -> View:
            observed = Observed(children=dict(self.cluster.objects), pods=self.pods)
            return View(body=body, observed=observed, profiles=PROFILES)

        return await self.loop.round(look)


def ready_pod(revision: str) -> dict[str, Any]:
    labels = {names.LABEL_REVISION: revision.removeprefix("qca-")}
    return {
        "metadata": {"name": "p", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def active(rig: Rig) -> str:
    return str(rig.cluster.status["activeRevision"])


def condition(rig: Rig, kind: str) -> Mapping[str, Any]:
    return next(c for c in rig.cluster.status["conditions"] if c["type"] == kind)


async def test_the_number_of_pods_is_handed_to_the_autoscaler_before_it_is_left_out(body: Bodies) -> None:
    rig = Rig()
    assert await rig.round(body(scaling={"initialReplicas": 0})) is None
    assert [call for call in rig.cluster.calls if call.startswith("Deployment")] == [
        f"Deployment {names.FIELD_MANAGER_OPERATOR} replicas=0",
        f"Deployment {names.FIELD_MANAGER_AUTOSCALER} replicas=0",
        f"Deployment {names.FIELD_MANAGER_OPERATOR} replicas=None",
    ]
    assert rig.cluster.objects["Deployment", active(rig)]["spec"]["replicas"] == 0


async def test_a_handover_that_meets_another_writer_is_tried_again_with_the_new_number(body: Bodies) -> None:
    rig = Rig()
    meetings = 0

    def refuse(body: Mapping[str, Any], manager: str) -> ClusterError | None:
        nonlocal meetings
        if manager != names.FIELD_MANAGER_AUTOSCALER or meetings:
            return None
        meetings += 1
        rig.cluster.objects["Deployment", body["metadata"]["name"]]["spec"]["replicas"] = 1
        return ClusterError(CONFLICT, "modified")

    rig.cluster.refuse = refuse
    await rig.round(body(scaling={"initialReplicas": 0}))
    assert meetings == 1
    assert rig.cluster.objects["Deployment", active(rig)]["spec"]["replicas"] == 1


async def test_a_repair_of_a_deployment_that_was_never_handed_over_hands_it_over(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body(scaling={"initialReplicas": 0}))
    model = {**body(scaling={"initialReplicas": 0}), "status": rig.cluster.status}
    deployment = rig.cluster.objects["Deployment", active(rig)]
    deployment["metadata"]["managedFields"] = [
        {"manager": names.FIELD_MANAGER_OPERATOR, "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]
    deployment["metadata"]["annotations"] = {}
    await rig.round(model)
    assert rig.cluster.objects["Deployment", active(rig)]["spec"]["replicas"] == 0


async def test_a_second_round_writes_nothing(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body())
    await rig.round({**body(), "status": rig.cluster.status})
    rig.cluster.calls.clear()
    await rig.round({**body(), "status": rig.cluster.status})
    assert rig.cluster.calls == []


async def test_a_profile_without_devices_holds_none(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body())
    assert rig.devices == ("cpu", 0)


async def test_each_round_tells_its_figures_also_when_nothing_is_written(body: Bodies) -> None:
    rig = Rig()
    for count in (1, 2, 3):
        await rig.round({**body(), "status": rig.cluster.status})
        assert len(rig.figures) == count
    assert rig.figures[-1].phase == rig.cluster.status["phase"]


async def test_the_switch_is_stored_before_the_old_revision_is_deleted(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body(scaling={"initialReplicas": 0}))
    old = active(rig)
    changed = body(
        scaling={"initialReplicas": 0}, batching={"maxBatchSize": 2}, rollout={"revisionHistoryLimit": 0}
    )
    await rig.round({**changed, "status": rig.cluster.status})
    assert active(rig) != old
    assert ("Deployment", old) in rig.cluster.objects
    rig.cluster.calls.clear()
    changed["metadata"]["resourceVersion"] = str(rig.cluster.version)
    await rig.round({**changed, "status": rig.cluster.status})
    # Not before the new one has been ready: until then there is something to return to.
    assert not [call for call in rig.cluster.calls if call.startswith("delete")]
    rig.pods = (ready_pod(active(rig)),)
    changed["metadata"]["resourceVersion"] = str(rig.cluster.version)
    await rig.round({**changed, "status": rig.cluster.status})
    deleted = [call for call in rig.cluster.calls if call.startswith("delete")]
    assert deleted == [f"delete {kind} {old}" for kind in ("ConfigMap", "Deployment", "Service")]


async def test_a_refusal_becomes_a_condition_with_the_api_servers_words(body: Bodies) -> None:
    rig = Rig()
    rig.cluster.refuse = lambda body, _: (
        ClusterError(422, "restartPolicy: Unsupported value") if body["kind"] == "Deployment" else None
    )
    assert await rig.round(body()) is not None
    found = condition(rig, "Accepted")
    assert (found["status"], found["reason"]) == ("False", "Refused")
    assert "restartPolicy: Unsupported value" in found["message"]
    assert (True, "Refused") in rig.events


async def test_an_api_server_that_does_not_answer_is_an_error_to_be_tried_again(body: Bodies) -> None:
    rig = Rig()
    rig.cluster.refuse = lambda _, __: ClusterError(503, "etcd is away")
    with pytest.raises(ClusterError):
        await rig.round(body())


@pytest.mark.parametrize(
    ("metadata", "outcome"),
    [
        ({"ownerReferences": []}, "NameConflict"),
        ({"ownerReferences": [{"kind": names.MODEL_KIND, "name": "qca", "uid": "before"}]}, None),
        ({"ownerReferences": [], "deletionTimestamp": "2026-01-01T00:00:00Z"}, None),
    ],
    ids=["of somebody else", "of a model before", "being deleted"],
)
async def test_an_object_in_the_way_is_never_taken(
    body: Bodies, metadata: dict[str, Any], outcome: str | None
) -> None:
    rig = Rig()
    rig.cluster.objects["Service", "qca"] = {"kind": "Service", "metadata": {"name": "qca", **metadata}}
    assert await rig.round(body()) is not None
    if outcome is None:
        assert rig.cluster.status == {}
    else:
        assert condition(rig, "Accepted")["reason"] == outcome
    assert rig.cluster.objects["Service", "qca"]["metadata"] == {"name": "qca", **metadata}


async def test_a_status_that_the_watch_has_not_seen_yet_is_not_computed_from_the_older_one(
    body: Bodies,
) -> None:
    rig = Rig()
    await rig.round(body())
    rig.cluster.calls.clear()
    await rig.round(body())
    assert rig.cluster.calls == []
