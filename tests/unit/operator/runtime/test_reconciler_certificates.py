"""Which revisions speak TLS, and that their certificate is there before they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.names import Owner
from atheria_operator.domain.observed import Observed
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import ClusterError, ObjectRef
from atheria_operator.runtime.reconciler import ReconcilePorts, Reconciler, View
from atheria_operator.runtime.upgrade_wave import UpgradeWave

KEY = ModelKey(namespace="demo", name="qca")
PROFILES = {"cpu": {"metadata": {"name": "cpu"}, "spec": {}}}
Bodies = Callable[..., dict[str, Any]]
OWN = {
    "spec": {
        "containers": [
            {"name": names.CONTAINER_MODEL, "env": [{"name": names.ENV_TLS_KEY_FILE, "value": "/mine.key"}]}
        ]
    }
}


class Rig:
    """A reconciler, the cluster, and the keeper of certificates."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.woken: list[ModelKey] = []
        self.status: Mapping[str, Any] = {}
        self.running_may_change = False
        self.for_models = True
        self.answer: Problem | ClusterError | None = None
        self.not_issued: Problem | None = None
        self.uid = ""
        ports: Any = self
        self.wave = UpgradeWave(at_once=1, wake=self.woken.append)
        self.loop = Reconciler(
            KEY,
            ReconcilePorts(
                cluster=ports,
                demand=ports,
                clock=ports,
                events=ports,
                telemetry=ports,
                upgrades=self.wave,
                certificates=ports,
            ),
            ServerDefaults(image="server:1"),
            (),
            {},
            {},
            Meter(ports, {}),
        )

    def wants(self, serves_encrypted: bool | None) -> bool:
        return self.for_models and (serves_encrypted is not False or self.running_may_change)

    async def keep(self, model: Owner) -> Problem | None:
        assert (model.key, model.uid) == (KEY, self.uid)
        self.calls.append("certificate")
        if isinstance(self.answer, ClusterError):
            raise self.answer
        return self.answer

    def pending(self, key: ModelKey, /) -> Problem | None:
        return self.not_issued

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        return self.objects.get((ref.kind, ref.name))

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        key = (body["kind"], body["metadata"]["name"])
        self.calls.append(body["kind"])
        fields = [{"manager": names.FIELD_MANAGER_AUTOSCALER, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
        old = self.objects.get(key, {"metadata": {}, "spec": {}})
        metadata = {**body["metadata"], "uid": f"{key}", "resourceVersion": "1", "managedFields": fields}
        spec = {**(old.get("spec") or {}), **(body.get("spec") or {})}
        if body["kind"] == "Deployment":
            # A model at zero has no rollout of its own that would come first.
            spec["replicas"] = 0
        self.objects[key] = {**body, "metadata": metadata, "spec": spec}
        return self.objects[key]

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        self.status = status
        return {"metadata": {"resourceVersion": "100"}}

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        del self.objects[ref.kind, ref.name]

    def demand(self, _: ModelKey) -> None:
        return None

    def revision_calls(self, _: ModelKey) -> Mapping[str, Any]:
        return {}

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def reported(self, *_: Any) -> None:
        """Not looked at here."""

    def holds(self, *_: Any) -> None:
        """Not looked at here."""

    def publish(self, *_: Any, **__: Any) -> None:
        """Not looked at here."""

    async def round(self, body: dict[str, Any]) -> float | None:
        self.calls.clear()
        self.uid = body["metadata"]["uid"]

        def look() -> View:
            return View(
                body={**body, "status": self.status},
                observed=Observed(children=dict(self.objects)),
                profiles=PROFILES,
            )

        return await self.loop.round(look)

    async def turn(self, body: dict[str, Any]) -> None:
        """A round in which the model says that it waits, and the one of its turn."""
        await self.round(body)
        assert self.woken == [KEY]
        self.woken.clear()
        await self.round(body)

    def accepted(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(one for one in self.status["conditions"] if one["type"] == "Accepted")
        return found

    def revisions(self) -> dict[str, bool]:
        """Whether each Deployment's pods speak TLS."""
        return {
            name: body["spec"]["template"]["metadata"]["labels"].get(names.LABEL_TLS) == names.TLS_MUTUAL
            for (kind, name), body in self.objects.items()
            if kind == "Deployment"
        }


async def test_a_new_model_speaks_tls_and_its_certificate_comes_before_its_pods(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body())
    assert list(rig.revisions().values()) == [True]
    assert rig.calls[0] == "certificate"
    assert "Deployment" in rig.calls
    await rig.round(body())
    assert list(rig.revisions().values()) == [True], "the gate is closed after a start; it stays as it is"


async def test_a_running_model_changes_when_the_gateways_can_and_not_again_after_a_restart(
    body: Bodies,
) -> None:
    rig = Rig()
    rig.for_models = False
    await rig.round(body())
    assert "certificate" not in rig.calls
    rig.for_models = True
    await rig.round(body())
    assert list(rig.revisions().values()) == [False]
    rig.running_may_change = True
    await rig.turn(body())
    assert sorted(rig.revisions().values()) == [False, True]
    # Another operator knows nothing of the gateways yet; the revision on its way shows that they could.
    rig.running_may_change = False
    before = rig.revisions()
    await rig.round(body())
    assert rig.revisions() == before


async def test_on_the_way_back_pods_that_still_speak_tls_keep_their_certificate(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body())
    rig.for_models = False
    await rig.turn(body())
    assert sorted(rig.revisions().values()) == [False, True]
    assert "certificate" in rig.calls


async def test_without_a_certificate_no_pod_is_made_and_the_model_says_why(body: Bodies) -> None:
    rig = Rig()
    rig.answer = Problem(reason="NameConflict", message="the Secret is somebody else's")
    assert await rig.round(body()) is not None
    assert rig.revisions() == {}
    accepted = rig.accepted()
    assert (accepted["status"], accepted["reason"]) == ("False", "NameConflict")
    rig.answer = ClusterError(403, "secrets is forbidden")
    await rig.round(body())
    accepted = rig.accepted()
    assert accepted["reason"] == "Refused"
    assert "secrets is forbidden" in accepted["message"]


async def test_a_certificate_of_the_users_own_is_refused_before_anything_is_made(body: Bodies) -> None:
    rig = Rig()
    await rig.round(body(podTemplate=OWN))
    assert rig.revisions() == {}
    accepted = rig.accepted()
    assert accepted["reason"] == "OwnCertificate"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"model": {}}, "InvalidSpec"),
        ({"hardware": {"profile": "gone"}}, "ProfileNotFound"),
        ({"podTemplate": OWN}, "OwnCertificate"),
    ],
)
async def test_pods_that_serve_keep_their_certificate_while_the_spec_has_a_problem(
    body: Bodies, spec: dict[str, Any], reason: str
) -> None:
    rig = Rig()
    await rig.round(body())
    await rig.round(body(**spec))
    assert rig.accepted()["reason"] == reason
    assert "certificate" in rig.calls
    assert list(rig.revisions().values()) == [True]
    # Pods that speak plain text need none.
    plain = Rig()
    plain.for_models = False
    await plain.round(body())
    await plain.round(body(**spec))
    assert "certificate" not in plain.calls


async def test_plain_pods_stay_until_the_certificate_is_issued_and_new_models_need_not_wait(
    body: Bodies,
) -> None:
    rig = Rig()
    rig.for_models = False
    await rig.round(body())
    rig.for_models = rig.running_may_change = True
    rig.not_issued = Problem(reason="CertificateNotReady", message="not yet")
    await rig.turn(body())
    # It keeps its turn, and says so in every round.
    for _ in range(3):
        assert await rig.round(body()) is not None
        assert list(rig.revisions().values()) == [False]
        assert (rig.accepted()["status"], rig.accepted()["reason"]) == ("False", "CertificateNotReady")
    rig.not_issued = None
    await rig.round(body())
    assert sorted(rig.revisions().values()) == [False, True]
    # At a renewal pods that speak TLS are not in the way.
    rig.not_issued = Problem(reason="CertificateNotReady", message="not yet")
    await rig.round(body())
    assert rig.accepted()["status"] == "True"
    fresh = Rig()
    fresh.not_issued = rig.not_issued
    await fresh.round(body())
    assert list(fresh.revisions().values()) == [True]
