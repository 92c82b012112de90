"""The reconcile loop when the class changes: in which order autoscalers go and come, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.observed import Observed
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import NOT_FOUND, ClusterError, ObjectRef
from atheria_operator.runtime.reconciler import ReconcilePorts, Reconciler, View
from atheria_operator.runtime.upgrade_wave import UpgradeWave

KEY = ModelKey(namespace="demo", name="qca")
PROFILES = {"cpu": {"metadata": {"name": "cpu"}, "spec": {}}}
Bodies = Callable[..., dict[str, Any]]
AUTOSCALERS = ("HorizontalPodAutoscaler", "ScaledObject")


class World:
    """Objects in memory, and all ports of one reconciler."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.status: Mapping[str, Any] = {}
        self.has_keda = True
        self.version = 100
        self.loop = self.new_loop()

    def new_loop(self) -> Reconciler:
        """As after a start of the operator."""
        ports: Any = self
        given = ReconcilePorts(
            cluster=ports,
            demand=ports,
            clock=ports,
            events=ports,
            telemetry=ports,
            upgrades=UpgradeWave(at_once=1),
            scaler_address="operator:8004",
        )
        return Reconciler(KEY, given, ServerDefaults(image="server:1"), (), {}, {}, Meter(ports, {}))

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        return self.objects.get((ref.kind, ref.name))

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        if body["kind"] == "ScaledObject" and not self.has_keda:
            raise ClusterError(NOT_FOUND, "the server could not find the requested resource")
        self.version += 1
        key = (body["kind"], body["metadata"]["name"])
        old = self.objects.get(key, {"metadata": {}, "spec": {}})
        replicas_by = [{"manager": "somebody", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
        self.objects[key] = {
            **old,
            **body,
            "spec": {**old["spec"], **(body.get("spec") or {})},
            "metadata": {
                **old["metadata"],
                **body["metadata"],
                "uid": body["kind"],
                "resourceVersion": str(self.version),
                "managedFields": replicas_by,
            },
        }
        self.calls.append(f"apply {body['kind']}")
        return self.objects[key]

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        self.version += 1
        self.status = status
        self.calls.append("status")
        return {"metadata": {"resourceVersion": str(self.version)}}

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        self.calls.append(f"delete {ref.kind}")
        assert self.objects.pop((ref.kind, ref.name))["metadata"]["uid"] == uid

    def demand(self, _: ModelKey) -> None:
        return None

    def revision_calls(self, _: ModelKey) -> Mapping[str, Any]:
        return {}

    def calls_total(self, _: ModelKey) -> int:
        return 0

    def monotonic_seconds(self) -> float:
        return 100.0

    def now(self) -> str:
        return "2026-01-01T01:00:00Z"

    def publish(self, *_: Any, **__: Any) -> None:
        """Events and metrics are not looked at here."""

    reported = started = holds = publish

    async def round(self, body: dict[str, Any]) -> float | None:
        self.version += 1
        model = {
            **body,
            "metadata": {**body["metadata"], "resourceVersion": str(self.version)},
            "status": self.status,
        }

        def look() -> View:
            watched = {key: item for key, item in self.objects.items() if key[0] != "ScaledObject"}
            return View(body=model, observed=Observed(children=watched), profiles=PROFILES)

        return await self.loop.round(look)

    @property
    def autoscalers(self) -> list[str]:
        """Kinds that exist."""
        return [kind for kind, _ in sorted(self.objects) if kind in AUTOSCALERS]

    @property
    def scaler_ready(self) -> tuple[str, str]:
        """Status and reason of ScalerReady."""
        (found,) = [one for one in self.status["conditions"] if one["type"] == "ScalerReady"]
        return found["status"], found["reason"]


def scaling(of: str) -> dict[str, Any]:
    return {"class": of, "maxReplicas": 4}


CLASSES = ("atheria", "hpa", "keda", "external")
MADE = {"atheria": [], "hpa": ["HorizontalPodAutoscaler"], "keda": ["ScaledObject"], "external": []}


@pytest.mark.parametrize("after", CLASSES)
@pytest.mark.parametrize("before", CLASSES)
async def test_each_switch_leaves_nothing_of_the_class_before(before: str, after: str, body: Bodies) -> None:
    world = World()
    await world.round(body(scaling=scaling(before)))
    assert world.autoscalers == MADE[before]
    await world.round(body(scaling=scaling(after)))
    assert world.autoscalers == MADE[after]
    assert world.status.get("scaledBy") == (None if after == "atheria" else after)


@pytest.mark.parametrize("after", ["atheria", "hpa", "external"])
async def test_a_scaled_object_is_found_again_by_the_next_operator(after: str, body: Bodies) -> None:
    world = World()
    await world.round(body(scaling=scaling("keda")))
    world.loop = world.new_loop()
    await world.round(body(scaling=scaling(after)))
    assert world.autoscalers == MADE[after]


@pytest.mark.parametrize(
    ("before", "after", "gone", "come"),
    [
        ("hpa", "keda", "delete HorizontalPodAutoscaler", "apply ScaledObject"),
        ("keda", "hpa", "delete ScaledObject", "apply HorizontalPodAutoscaler"),
    ],
)
async def test_one_autoscaler_goes_before_the_other_comes(
    before: str, after: str, gone: str, come: str, body: Bodies
) -> None:
    # KEDA's webhook refuses a second one for the same target.
    world = World()
    await world.round(body(scaling=scaling(before)))
    world.calls.clear()
    await world.round(body(scaling=scaling(after)))
    assert world.calls.index(gone) < world.calls.index(come)


async def test_without_keda_the_model_is_made_all_the_same_and_keda_is_looked_for(body: Bodies) -> None:
    world = World()
    world.has_keda = False
    after_seconds = await world.round(body(scaling=scaling("keda")))
    assert ("Deployment", f"qca-{world.status['activeRevision'].removeprefix('qca-')}") in world.objects
    assert world.scaler_ready == ("False", "KedaMissing")
    assert after_seconds is not None
    assert after_seconds <= 15
    world.has_keda = True
    await world.round(body(scaling=scaling("keda")))
    assert world.scaler_ready == ("Unknown", "WaitingForAutoscaler")


async def test_keda_is_looked_at_again_also_where_all_was_well(body: Bodies) -> None:
    world = World()
    await world.round(body(scaling=scaling("keda")))
    (made,) = [item for (kind, _), item in world.objects.items() if kind == "ScaledObject"]
    made["status"] = {"conditions": [{"type": "Ready", "status": "True", "reason": "ScaledObjectReady"}]}
    after_seconds = await world.round(body(scaling=scaling("keda")))
    assert world.scaler_ready == ("True", "Keda")
    assert after_seconds is not None
    assert after_seconds <= 30
    made["status"]["conditions"][0] |= {
        "status": "False",
        "reason": "TriggerError",
        "message": "it is silent",
    }
    await world.round(body(scaling=scaling("keda")))
    assert world.scaler_ready == ("False", "TriggerError")


async def test_a_spec_that_is_refused_leaves_what_is_known_of_the_autoscaler(body: Bodies) -> None:
    world = World()
    await world.round(body(scaling=scaling("keda")))
    await world.round(body(scaling={**scaling("keda"), "minReplicas": 9}))
    assert world.status["scaledBy"] == "keda"
    assert world.scaler_ready == ("Unknown", "WaitingForAutoscaler")
    assert world.autoscalers == ["ScaledObject"]
