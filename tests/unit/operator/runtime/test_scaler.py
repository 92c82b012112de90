"""The autoscaling loop against a cluster in memory: what it writes, and what it must not undo."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.api.types.decision import ScaleDecision
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import CONFLICT, ClusterError, ObjectRef, Raced, Scale
from atheria_operator.runtime.scaler import SCHEDULE_SECONDS, TICK_SECONDS, Scaler, ScalingPorts

KEY = ModelKey(namespace="demo", name="qca")
MODEL = ObjectRef(api_version=names.API_VERSION, kind=names.MODEL_KIND, namespace="demo", name="qca")
DEPLOYMENT = ObjectRef(api_version="apps/v1", kind="Deployment", namespace="demo", name="qca-a")


class Memory:
    """Scale subresources; every write makes a new version."""

    def __init__(self, model: int, deployment: int) -> None:
        self.scales = {
            MODEL: Scale(replicas=model, resource_version="1"),
            DEPLOYMENT: Scale(replicas=deployment, resource_version="1"),
        }
        self.writes: list[tuple[str, int | None]] = []
        self.before_write: Callable[[], None] = lambda: None

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        return self.scales.get(ref)

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        self.before_write()
        if self.scales[ref].resource_version != scale.resource_version:
            raise ClusterError(CONFLICT, "modified")
        self.writes.append((ref.kind, scale.replicas))
        self.set(ref, scale.replicas)
        return self.scales[ref]

    async def set_deletion_cost(self, pod: ObjectRef, uid: str, cost: int | None) -> None:
        assert pod.name == uid
        self.writes.append((f"cost of {pod.name}", cost))

    def set(self, ref: ObjectRef, replicas: int) -> None:
        version = str(max(int(scale.resource_version) for scale in self.scales.values()) + 1)
        self.scales[ref] = Scale(replicas=replicas, resource_version=version)

    def observed(self) -> Observed:
        """What the watches show now."""
        scale = self.scales[DEPLOYMENT]
        body = {
            "metadata": {
                "name": DEPLOYMENT.name,
                "resourceVersion": scale.resource_version,
                "ownerReferences": [{"uid": "uid-1"}],
            },
            "spec": {"replicas": scale.replicas},
        }
        return Observed(children={("Deployment", DEPLOYMENT.name): body})


class Rig:
    """A scaler with all its ports, also their recorder."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.now_seconds = 100.0
        self.wall = "2026-01-01T00:00:00Z"
        self.said: Demand | None = None
        self.in_flight: dict[str, int] = {}
        self.events: list[str] = []
        self.shown: Mapping[str, float] = {}
        self.decisions: deque[Mapping[str, Any]] = deque(maxlen=10)
        ports: Any = self
        self.scaler = Scaler(
            KEY,
            ScalingPorts(
                cluster=ports.memory, demand=ports, clock=ports, events=ports, telemetry=ports, pods=ports
            ),
            self.decisions,
            Meter(ports, {}),
        )

    def calls_total(self, _: ModelKey) -> int:
        return 0

    def demand(self, _: ModelKey) -> Demand | None:
        return self.said

    async def fetch(self, url: str, **_: Any) -> Any:
        return {names.READY_IN_FLIGHT: self.in_flight[url.removeprefix("http://").partition(":")[0]]}

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    def now(self) -> str:
        return self.wall

    def publish(self, _: Any, *, is_warning: bool, reason: str, message: str) -> None:
        self.events.append(f"{reason}: {message}")

    def replicas(self, *_: Any, **__: Any) -> None:
        """Metrics are not looked at here."""

    def scaled(self, *_: Any) -> None:
        """Metrics are not looked at here."""

    def decided(self, _: ModelKey, inputs: Mapping[str, float]) -> None:
        self.shown = inputs

    async def tick(self, body: Any, observed: Observed | None = None) -> float | None:
        scale = self.memory.scales[MODEL]
        fresh = {
            **body,
            "metadata": {**body["metadata"], "resourceVersion": scale.resource_version},
            "spec": {**body["spec"], "replicas": scale.replicas},
        }
        return await self.scaler.tick(fresh, observed or self.memory.observed())


Bodies = Callable[..., dict[str, Any]]
SCALING = {"idleTimeout": "10s", "maxReplicas": 3, "target": 2}


def calls(held: int) -> Demand:
    return Demand(held=held, in_flight=0, arrivals_total=held, is_complete=True)


def ready(body: Any) -> Any:
    """A model with a pod that answers calls: the idle clock runs."""
    return {**body, "status": {"readyReplicas": 1}}


async def to_zero(rig: Rig, body: Any) -> None:
    """Idle until the decision is 0."""
    rig.said = calls(0)
    await rig.tick(body)
    rig.now_seconds += 11
    await rig.tick(body)


async def test_pods_come_before_the_request_and_go_after_it(body: Bodies) -> None:
    rig = Rig(Memory(0, 0))
    model = ready(body(scaling=SCALING))
    rig.said = calls(5)
    assert await rig.tick(model) == TICK_SECONDS
    assert rig.memory.writes == [("Deployment", 3), (names.MODEL_KIND, 3)]
    rig.memory.writes.clear()
    rig.said = Demand(held=0, in_flight=0, arrivals_total=5, is_complete=True)
    await rig.tick(model)
    rig.now_seconds += 11
    assert await rig.tick(model) is None
    assert rig.memory.writes == [(names.MODEL_KIND, 0), ("Deployment", 0)]
    assert rig.events[-1].startswith("ScaledDown: from 3 to 0 pods: no call for 10 s")
    assert [d["replicas"] for d in rig.decisions] == [0, 3]


async def test_what_was_seen_is_shown_until_there_is_nothing_to_decide(body: Bodies) -> None:
    rig = Rig(Memory(0, 0))
    model = ready(body(scaling=SCALING))
    rig.said = calls(5)
    await rig.tick(model)
    assert (rig.shown["held"], rig.shown["ready"]) == (5.0, 1.0)
    rig.said = Demand(held=0, in_flight=0, arrivals_total=5, is_complete=True)
    await rig.tick(model)
    assert rig.shown["held"] == 0.0
    rig.now_seconds += 11
    await rig.tick(model)
    assert rig.shown == {}, "nobody looks any more, so what was seen last would stay"


async def test_a_wake_between_the_look_and_the_write_is_not_undone(body: Bodies) -> None:
    rig = Rig(Memory(0, 1))
    model = ready(body(scaling=SCALING))
    rig.said = calls(0)
    await rig.tick(model)
    seen = rig.memory.observed()
    rig.now_seconds += 11
    rig.memory.set(DEPLOYMENT, 2)
    with pytest.raises(Raced):
        await rig.tick(model, seen)
    assert rig.memory.scales[DEPLOYMENT].replicas == 2
    await rig.tick(model)
    assert rig.memory.scales[DEPLOYMENT].replicas == 2


async def test_a_write_that_loses_to_another_is_decided_anew(body: Bodies) -> None:
    rig = Rig(Memory(1, 1))
    model = ready(body(scaling=SCALING))
    rig.said = calls(0)
    await rig.tick(model)
    rig.now_seconds += 11
    rig.memory.before_write = lambda: rig.memory.set(MODEL, 1)
    with pytest.raises(Raced):
        await rig.tick(model)
    assert (rig.memory.writes, rig.events) == ([], [])


async def test_its_own_write_is_not_taken_for_a_wake_while_the_watch_lags(body: Bodies) -> None:
    rig = Rig(Memory(1, 1))
    model = ready(body(scaling=SCALING))
    stale = rig.memory.observed()
    await to_zero(rig, model)
    rig.memory.writes.clear()
    await rig.tick(model, stale)
    assert rig.memory.writes == []
    assert rig.memory.scales[DEPLOYMENT].replicas == 0


async def test_a_wake_of_one_of_both_is_carried_to_the_other(body: Bodies) -> None:
    for woken in (MODEL, DEPLOYMENT):
        rig = Rig(Memory(1, 1))
        model = ready(body(scaling=SCALING))
        await to_zero(rig, model)
        rig.memory.set(woken, 1)
        rig.said = None
        await rig.tick(model)
        assert {scale.replicas for scale in rig.memory.scales.values()} == {1}


async def test_an_external_request_is_read_anew_before_pods_go(body: Bodies) -> None:
    rig = Rig(Memory(0, 1))
    model = body(scaling={"class": "external"})
    stale = {
        **model,
        "metadata": {**model["metadata"], "resourceVersion": "1"},
        "spec": {**model["spec"], "replicas": 0},
    }
    rig.memory.set(MODEL, 1)
    with pytest.raises(Raced):
        await rig.scaler.tick(stale, rig.memory.observed())
    assert rig.memory.scales[DEPLOYMENT].replicas == 1


async def test_a_model_without_a_deployment_or_with_a_wrong_spec_is_left_alone(body: Bodies) -> None:
    rig = Rig(Memory(0, 0))
    assert await rig.tick(body(), Observed()) is None
    assert await rig.tick(body(model={"source": "builtin://nothing"})) is None
    assert rig.memory.writes == []


async def test_a_change_whose_second_write_lost_is_told_once_it_is_there(body: Bodies) -> None:
    rig = Rig(Memory(1, 1))
    model = ready(body(scaling=SCALING))
    rig.said = calls(5)

    def meddle() -> None:
        if rig.memory.writes:
            rig.memory.set(MODEL, 1)

    rig.memory.before_write = meddle
    with pytest.raises(Raced):
        await rig.tick(model)
    assert rig.events == []
    rig.memory.before_write = lambda: None
    await rig.tick(model)
    assert [event.partition(":")[0] for event in rig.events] == ["ScaledUp"]
    assert (rig.decisions[0]["before"], rig.decisions[0]["replicas"]) == (1, 3)
    await rig.tick(model)
    assert len(rig.decisions) == 1


def without_node(memory: Memory, count: int) -> Observed:
    """The Deployment, and pods that the scheduler finds no node for."""
    no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pods = tuple(
        {"metadata": {"name": f"p{index}", "uid": f"p{index}"}, "status": {"conditions": [no_node]}}
        for index in range(count)
    )
    return Observed(children=memory.observed().children, pods=pods)


async def test_pods_without_a_node_are_told_once_and_no_more_are_asked_for(body: Bodies) -> None:
    rig = Rig(Memory(1, 1))
    model = ready(body(scaling={**SCALING, "maxReplicas": 9}))
    rig.said = calls(3)
    await rig.tick(model)
    asked = rig.memory.scales[DEPLOYMENT].replicas
    rig.said = calls(30)
    for _ in range(5):
        rig.now_seconds += 1
        await rig.tick(model, without_node(rig.memory, asked - 1))
    assert rig.memory.scales[DEPLOYMENT].replicas == asked
    assert [event.partition(":")[0] for event in rig.events] == ["ScaledUp", "NoCapacity"]
    assert rig.decisions[0]["bound"] == "no node for more pods"
    rig.now_seconds += 1
    await rig.tick(model)
    assert rig.memory.scales[DEPLOYMENT].replicas > asked


async def test_a_decision_is_kept_with_what_was_seen_and_how_it_was_computed(body: Bodies) -> None:
    rig = Rig(Memory(1, 1))
    rig.said = calls(5)
    await rig.tick(ready(body(scaling=SCALING)))
    newest = rig.decisions[0]
    assert (newest["before"], newest["replicas"], newest["bound"]) == (1, 3, "maxReplicas")
    assert newest["inputs"]["held"] == 5
    assert newest["formula"]
    ScaleDecision.model_validate(newest)


async def test_an_idle_model_with_a_schedule_looks_at_the_clock(body: Bodies) -> None:
    window = {"start": "08:00", "end": "18:00", "minReplicas": 2}
    rig = Rig(Memory(0, 0))
    rig.said = calls(0)
    model = body(scaling={**SCALING, "schedule": [window]})
    assert await rig.tick(model) == SCHEDULE_SECONDS
    rig.wall = "2026-01-01T08:00:00Z"
    await rig.tick(model)
    assert rig.memory.scales[DEPLOYMENT].replicas == 2


def with_pods(memory: Memory, **costs: str) -> Observed:
    """The Deployment with ready pods by name, each with the deletion cost that is written on it (empty = none)."""
    pods = tuple(
        {
            "metadata": {
                "name": name,
                "uid": name,
                "labels": {names.LABEL_REVISION: "a"},
                "annotations": {names.ANNOTATION_DELETION_COST: cost} if cost else {},
            },
            "status": {"podIP": name, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        for name, cost in costs.items()
    )
    return Observed(children=memory.observed().children, pods=pods)


async def test_before_pods_go_the_idle_ones_are_marked_and_a_mark_that_was_in_vain_is_taken_back(
    body: Bodies,
) -> None:
    rig = Rig(Memory(2, 3))
    rig.in_flight = {"busy": 2, "idle": 0, "also": 1}
    external = body(scaling={"class": "external", "maxReplicas": 3})
    await rig.tick(external, with_pods(rig.memory, busy="", idle="", also=""))
    assert rig.memory.writes == [("cost of idle", -1), ("Deployment", 2)]
    rig.memory.writes.clear()
    # Somebody raises it again before the ReplicaSet has looked.
    rig.memory.set(MODEL, 3)
    rig.memory.set(DEPLOYMENT, 3)
    await rig.tick(external, with_pods(rig.memory, busy="", idle="-1", also=""))
    assert rig.memory.writes == [("cost of idle", None)]
