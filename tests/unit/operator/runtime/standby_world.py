"""A scaling loop with pods in memory that obey orders as the real server does, for the tests of models whose pods sleep."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

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

Bodies = Callable[..., dict[str, Any]]
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

    async def order(self, url: str, key: ModelKey, **_: Any) -> bool:
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

    async def fetch(self, _: str, **__: Any) -> Any:
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
