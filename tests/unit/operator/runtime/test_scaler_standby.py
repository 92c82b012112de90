"""Models whose pods sleep at zero: the scaling loop with pods in memory that obey orders as the real server does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.pods import Told, start_key
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.status.phases import Phase, Step
from atheria_operator.domain.status.rest import Rest
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import ObjectRef, ReportError, Scale
from atheria_operator.runtime.scaler import Scaler, ScalingPorts

KEY = ModelKey(namespace="demo", name="qca")
MODEL = ObjectRef(api_version=names.API_VERSION, kind=names.MODEL_KIND, namespace="demo", name="qca")
DEPLOYMENT = ObjectRef(api_version="apps/v1", kind="Deployment", namespace="demo", name="qca-a")
IDLE_SECONDS = 10.0


class Pod:
    """A model server: its own state, and what its probe showed last."""

    def __init__(self, number: int) -> None:
        self.name = f"qca-a-{number}"
        self.address = f"10.0.0.{number}"
        self.is_loaded = False
        self.is_awake = True
        self.is_ready = False
        self.calls = 0
        self.starts = 0

    def body(self) -> dict[str, Any]:
        return {
            "metadata": {
                "name": self.name,
                "uid": self.name,
                "labels": {names.LABEL_REVISION: "a"},
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {
                "podIP": self.address,
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "True" if self.is_ready else "False"},
                ],
                "containerStatuses": [
                    {"name": "model", "state": {"running": {"startedAt": str(self.starts)}}}
                ],
            },
        }

    def probe(self) -> None:
        self.is_ready = self.is_loaded and self.is_awake

    def call(self) -> None:
        """As the server promises: a call wakes it."""
        self.is_awake = True


class World:
    """One model's objects and pods, the scaler's ports, and a scaler that may be replaced."""

    def __init__(self, body: Callable[..., dict[str, Any]], *, standby: int = 1, most: int = 3) -> None:
        scaling = {
            "idleTimeout": "10s",
            "keepAlive": "idleTimeout",
            "scaleDownDelay": "0s",
            "maxReplicas": most,
            "target": 1,
            "targetUtilization": 100,
            "scaleToZero": {"mode": "sleep", "standbyReplicas": standby},
        }
        self.body = body(scaling=scaling)
        self.scales = {ref: Scale(replicas=1, resource_version="1") for ref in (MODEL, DEPLOYMENT)}
        self.version = 1
        self.pods: list[Pod] = []
        self.made = 0
        self.now_seconds = 100.0
        self.said: Demand | None = None
        self.orders: list[tuple[str, str]] = []
        self.is_deaf = False
        self.events: list[str] = []
        self.start_operator()
        self.controllers()

    # --- the operator ---------------------------------------------------------------------------------------------

    def start_operator(self) -> None:
        """Nothing is remembered."""
        ports: Any = self
        self.told: dict[str, Told] = {}
        self.rests: dict[str, Rest] = {}
        self.scaler = Scaler(
            KEY,
            ScalingPorts(
                cluster=ports,
                demand=ports,
                clock=ports,
                events=ports,
                telemetry=ports,
                pods=ports,
                standby=ports,
            ),
            deque(maxlen=10),
            Meter(ports, {}),
            self.told,
            self.rests,
        )

    def watch_starts(self) -> None:
        """What the start watcher does: ask pods that are not ready."""
        for pod in self.pods:
            key = start_key(pod.body())
            if pod.is_ready or (pod.is_loaded and pod.is_awake):
                continue
            if pod.is_loaded:
                self.rests.setdefault(key, Rest(is_asleep=True, freed_bytes=7))
            else:
                self.told[key] = Told(step=Step(phase=Phase.LOADING))

    async def tick(self) -> float | None:
        body = {
            **self.body,
            "metadata": {**self.body["metadata"], "resourceVersion": self.scales[MODEL].resource_version},
            "spec": {**self.body["spec"], "replicas": self.scales[MODEL].replicas},
            "status": {
                "activeRevision": "qca-a",
                "revisions": [{"name": "qca-a", "mayRun": True}],
                "readyReplicas": sum(pod.is_ready for pod in self.pods),
            },
        }
        deployment = {
            "metadata": {
                "name": DEPLOYMENT.name,
                "resourceVersion": self.scales[DEPLOYMENT].resource_version,
                "ownerReferences": [{"uid": "uid-1"}],
            },
            "spec": {"replicas": self.scales[DEPLOYMENT].replicas},
        }
        pods = tuple(pod.body() for pod in self.pods)
        after = await self.scaler.tick(
            body, Observed(children={("Deployment", DEPLOYMENT.name): deployment}, pods=pods)
        )
        self.controllers()
        return after

    # --- the rest of the cluster ----------------------------------------------------------------------------------

    def controllers(self) -> None:
        """The ReplicaSet: pods that are not ready go first."""
        wanted = self.scales[DEPLOYMENT].replicas
        self.pods.sort(key=lambda pod: not pod.is_ready)
        del self.pods[wanted:]
        while len(self.pods) < wanted:
            self.made += 1
            self.pods.append(Pod(self.made))
        self.pods.sort(key=lambda pod: pod.name)

    def kubelets(self) -> None:
        for pod in self.pods:
            pod.probe()

    async def seconds(self, count: int = 1) -> None:
        """Time passes: loops, kubelets, watches."""
        for _ in range(count):
            self.now_seconds += 1
            self.kubelets()
            self.watch_starts()
            await self.tick()

    async def until_asleep(self) -> None:
        for pod in self.pods:
            pod.is_loaded = True
        self.say()
        await self.seconds(int(IDLE_SECONDS) + 3)
        assert not any(pod.is_awake for pod in self.pods)

    def wake_by_gateway(self) -> None:
        """A held call: the request, and the first pod that is not ready."""
        if self.scales[MODEL].replicas == 0:
            self.set(MODEL, 1)
        for pod in self.pods:
            if pod.is_loaded and not pod.is_ready:
                pod.is_awake = True
                return

    def say(self, calls: int = 0, arrivals: int = 0) -> None:
        self.said = Demand(held=0, in_flight=calls, arrivals_total=arrivals, is_complete=True)

    # --- ports ----------------------------------------------------------------------------------------------------

    async def order(self, url: str, key: ModelKey) -> bool:
        assert key == KEY
        if self.is_deaf:
            raise ReportError("no answer")
        address, _, path = url.removeprefix("http://").partition(":8000")
        pod = next(pod for pod in self.pods if pod.address == address)
        self.orders.append((pod.name, path))
        if path == names.PATH_WAKE:
            pod.is_awake = True
            return pod.is_loaded
        if pod.calls or not pod.is_loaded:
            return False
        pod.is_awake = False
        return True

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        return self.scales[ref]

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        self.set(ref, scale.replicas)
        return self.scales[ref]

    def set(self, ref: ObjectRef, replicas: int) -> None:
        self.version += 1
        self.scales[ref] = Scale(replicas=replicas, resource_version=str(self.version))

    async def set_deletion_cost(self, *_: Any) -> None:
        """Not looked at here."""

    async def fetch(self, _: str) -> Any:
        return {names.READY_IN_FLIGHT: 0}

    def calls_total(self, _: ModelKey) -> int:
        return 0

    def demand(self, _: ModelKey) -> Demand | None:
        return self.said

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def publish(self, _: Any, *, is_warning: bool, reason: str, message: str) -> None:
        self.events.append(f"{reason}: {message}")

    def replicas(self, *_: Any, **__: Any) -> None:
        """Metrics are not looked at here."""

    scaled = decided = replicas


Bodies = Callable[..., dict[str, Any]]


async def test_an_idle_models_pod_stays_and_is_put_to_sleep(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    assert (world.scales[MODEL].replicas, world.scales[DEPLOYMENT].replicas) == (0, 1)
    assert world.orders == [("qca-a-1", names.PATH_SLEEP)]
    assert world.events[-1].startswith("ScaledDown: from 1 to 0 pods: no call for 10 s")
    assert await world.tick() is None, "nothing is left to look at"
    await world.seconds(100)
    assert len(world.orders) == 1


async def test_silence_and_calls_in_flight_put_no_pod_to_sleep(body: Bodies) -> None:
    world = World(body)
    world.pods[0].is_loaded = True
    await world.seconds(60)
    assert world.orders == []
    world.pods[0].calls = 1
    world.say()
    await world.seconds(30)
    assert world.pods[0].is_awake
    world.pods[0].calls = 0
    await world.seconds(20)
    assert not world.pods[0].is_awake


async def test_a_wake_by_a_gateway_is_not_undone_before_a_whole_idle_time(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.orders.clear()
    world.wake_by_gateway()
    world.say(arrivals=1)
    await world.seconds(int(IDLE_SECONDS))
    assert world.pods[0].is_awake
    assert all(path == names.PATH_WAKE for _, path in world.orders)
    await world.seconds(5)
    assert not world.pods[0].is_awake


async def test_a_wake_that_never_reached_the_pod_is_given_again_by_the_operator(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.set(MODEL, 1)
    await world.seconds(2)
    assert world.pods[0].is_awake


async def test_a_pod_that_a_call_woke_counts_again_once_it_has_looked_awake_for_longer_than_an_order_takes(
    body: Bodies,
) -> None:
    world = World(body)
    await world.until_asleep()
    world.pods[0].call()
    await world.seconds(20)
    assert world.scales[MODEL].replicas == 1
    await world.seconds(20)
    assert (world.scales[MODEL].replicas, world.pods[0].is_awake) == (0, False)


async def test_a_start_of_the_operator_wakes_nobody(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.orders.clear()
    world.start_operator()
    await world.tick()
    await world.seconds(20)
    assert world.orders == []
    assert world.scales[MODEL].replicas == 0


async def test_a_start_of_the_operator_wakes_none_of_those_that_sleep_beside_one_that_is_awake(
    body: Bodies,
) -> None:
    world = World(body, standby=3, most=3)
    await world.seconds()
    await world.until_asleep()
    world.wake_by_gateway()
    world.say(calls=1, arrivals=1)
    await world.seconds(3)
    assert sum(pod.is_awake for pod in world.pods) == 1
    world.orders.clear()
    world.start_operator()
    # Gateways have not reported to it yet.
    world.said = None
    await world.tick()
    await world.seconds(2)
    world.say(calls=1, arrivals=1)
    await world.seconds(5)
    assert world.orders == []
    assert world.scales[MODEL].replicas == 1


async def test_a_pod_that_sleeps_is_woken_or_goes_when_its_model_does_not_sleep_any_more(
    body: Bodies,
) -> None:
    world = World(body)
    await world.until_asleep()
    world.body["spec"]["scaling"] = {"idleTimeout": "10s", "maxReplicas": 3}
    world.set(MODEL, 1)
    world.say(calls=1, arrivals=1)
    await world.seconds(3)
    assert [pod.is_awake for pod in world.pods] == [True]
    world = World(body)
    await world.until_asleep()
    world.body["spec"]["scaling"] = {"idleTimeout": "10s", "maxReplicas": 3}
    world.set(MODEL, 0)
    await world.seconds(3)
    assert (world.scales[DEPLOYMENT].replicas, world.pods) == (0, [])


async def test_a_pod_that_died_asleep_loads_serves_and_sleeps_again(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    pod = world.pods[0]
    pod.is_loaded, pod.is_awake, pod.starts = False, True, 1
    await world.seconds(5)
    assert world.scales[MODEL].replicas == 1, "it starts, as any first pod"
    pod.is_loaded = True
    await world.seconds(30)
    assert not pod.is_awake


async def test_of_several_pods_in_standby_as_many_are_woken_as_the_calls_need(body: Bodies) -> None:
    world = World(body, standby=2)
    await world.seconds()
    assert len(world.pods) == 2, "the second one is made for standby"
    await world.until_asleep()
    world.wake_by_gateway()
    world.say(calls=2, arrivals=2)
    await world.seconds(3)
    assert [pod.is_awake for pod in world.pods] == [True, True]
    assert world.scales[DEPLOYMENT].replicas == 2, "no pod is started while one sleeps"


async def test_a_pod_that_serves_stays_awake_while_one_that_still_starts_is_taken_back(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.wake_by_gateway()
    world.say(calls=2, arrivals=2)
    await world.seconds(2)
    assert [pod.is_ready for pod in world.pods] == [True, False]
    world.orders.clear()
    # The ReplicaSet has not looked yet: both are still there.
    world.controllers = lambda: None  # type: ignore[method-assign]
    world.say(calls=1, arrivals=2)
    await world.seconds(2)
    assert world.scales[DEPLOYMENT].replicas == 1
    assert world.orders == []


async def test_a_pod_that_does_not_answer_orders_is_not_asked_all_the_time(body: Bodies) -> None:
    world = World(body)
    world.pods[0].is_loaded = True
    world.is_deaf = True
    world.say()
    await world.seconds(20)
    world.is_deaf = False
    world.orders.clear()
    await world.seconds(14)
    await world.seconds(2)
    assert len(world.orders) == 1


async def test_a_model_that_deletes_its_pods_gives_no_orders(body: Bodies) -> None:
    world = World(body)
    world.body["spec"]["scaling"] = {"idleTimeout": "10s", "maxReplicas": 3}
    world.pods[0].is_loaded = True
    world.say()
    await world.seconds(20)
    assert world.orders == []
    assert world.scales[DEPLOYMENT].replicas == 0


STEPS = st.sampled_from(
    [
        "second",
        "seconds",
        "silence",
        "call",
        "answered",
        "late call",
        "operator",
        "crash",
        "loaded",
        "gateway",
    ]
)


@pytest.mark.parametrize("standby", [1, 2])
@settings(max_examples=30, deadline=None)
@given(steps=st.lists(STEPS, max_size=20))
async def test_whatever_happens_nobody_sleeps_by_silence_or_with_calls_and_who_calls_is_served(
    standby: int, steps: list[str]
) -> None:
    from tests.unit.operator.conftest import model_body

    world = World(model_body, standby=standby)
    arrivals = 0
    last_call_seconds = world.now_seconds
    for step in [*steps, "call"]:
        asked = len(world.orders)
        match step:
            case "second":
                await world.seconds()
            case "seconds":
                await world.seconds(12)
            case "silence":
                world.said = None
                await world.seconds(3)
            case "call":
                arrivals += 1
                world.say(calls=1, arrivals=arrivals)
                world.wake_by_gateway()
            case "answered":
                world.say(arrivals=arrivals)
            case "late call":
                # Straight to a pod, which no report shows before it has ended.
                arrivals += 1
                world.pods[0].call() if world.pods else None
                if world.said is not None:
                    world.say(arrivals=arrivals)
            case "operator":
                world.start_operator()
            case "crash":
                for pod in world.pods[:1]:
                    pod.is_loaded, pod.is_awake, pod.starts = False, True, pod.starts + 1
            case "loaded":
                for pod in world.pods:
                    pod.is_loaded = True
            case _:
                world.wake_by_gateway()
        if step in ("call", "late call", "answered"):
            last_call_seconds = world.now_seconds
        if any(path == names.PATH_SLEEP for _, path in world.orders[asked:]):
            assert world.said is not None, "silence puts nobody to sleep"
            calls = world.said.calls
            awake = sum(pod.is_awake for pod in world.pods)
            assert awake >= calls, "nor does a model with calls"
            if not awake:
                assert world.now_seconds - last_call_seconds >= IDLE_SECONDS, (
                    "nor the last pod before its time"
                )
    # The last step was a call: with pods that load it is served, whatever came before.
    for _ in range(20):
        for pod in world.pods:
            pod.is_loaded = True
        await world.seconds()
        if any(pod.is_ready and pod.is_awake for pod in world.pods):
            return
        world.wake_by_gateway()
    raise AssertionError("no pod serves the call")
