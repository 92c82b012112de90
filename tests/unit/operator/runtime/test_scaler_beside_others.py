"""The scaling loop where another autoscaler decides: whose number it writes, and what it tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.offers import Offers
from atheria_operator.runtime.ports import CONFLICT, ClusterError, ObjectRef, Raced, Scale
from atheria_operator.runtime.scaler import SILENT_SECONDS, TICK_SECONDS, Scaler, ScalingPorts

KEY = ModelKey(namespace="demo", name="qca")
MODEL = ObjectRef(api_version=names.API_VERSION, kind=names.MODEL_KIND, namespace="demo", name="qca")
DEPLOYMENT = ObjectRef(api_version="apps/v1", kind="Deployment", namespace="demo", name="qca-a")
Bodies = Callable[..., dict[str, Any]]


class World:
    """Two numbers of pods, and all ports of one scaler."""

    def __init__(self, requested: int, actual: int) -> None:
        self.numbers = {MODEL: requested, DEPLOYMENT: actual}
        self.version = 1
        self.conflicts = 0
        self.now_seconds = 100.0
        self.said: Demand | None = None
        self.offers = Offers()
        self.scaler = self.new_scaler()

    def new_scaler(self) -> Scaler:
        """As after a start of the operator."""
        ports: Any = self
        given = ScalingPorts(
            cluster=ports,
            demand=ports,
            clock=ports,
            events=ports,
            telemetry=ports,
            pods=ports,
            offers=self.offers,
        )
        return Scaler(KEY, given, deque(maxlen=10), Meter(ports, {}))

    async def read_scale(self, ref: ObjectRef) -> Scale:
        return Scale(replicas=self.numbers[ref], resource_version=str(self.version))

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        if self.conflicts:
            self.conflicts -= 1
            raise ClusterError(CONFLICT, "modified")
        self.version += 1
        self.numbers[ref] = scale.replicas
        return await self.read_scale(ref)

    def demand(self, _: ModelKey) -> Demand | None:
        return self.said

    def calls_total(self, _: ModelKey) -> int:
        return 0

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def publish(self, *_: Any, **__: Any) -> None:
        """Events are not looked at here."""

    def replicas(self, *_: Any, **__: Any) -> None:
        """Nor are metrics."""

    def scaled(self, *_: Any) -> None:
        """As above."""

    def decided(self, *_: Any) -> None:
        """As above."""

    async def tick(self, body: Mapping[str, Any]) -> float | None:
        self.version += 1
        version = str(self.version)
        model = {
            **body,
            "metadata": {**body["metadata"], "resourceVersion": version},
            "spec": {**body["spec"], "replicas": self.numbers[MODEL]},
        }
        deployment = {
            "metadata": {
                "name": DEPLOYMENT.name,
                "resourceVersion": version,
                "ownerReferences": [{"uid": body["metadata"]["uid"]}],
            },
            "spec": {"replicas": self.numbers[DEPLOYMENT]},
        }
        return await self.scaler.tick(model, Observed(children={("Deployment", DEPLOYMENT.name): deployment}))

    @property
    def both(self) -> tuple[int, int]:
        """Requested and actual pods."""
        return self.numbers[MODEL], self.numbers[DEPLOYMENT]


def calls(in_flight: int, arrivals: int = 0) -> Demand:
    return Demand(held=0, in_flight=in_flight, arrivals_total=arrivals, is_complete=True)


def scaling(of: str, **more: Any) -> dict[str, Any]:
    return {"class": of, "maxReplicas": 8, "target": 2, **more}


@pytest.mark.parametrize("of", ["hpa", "keda"])
async def test_others_begin_with_the_pods_there_are_and_then_their_number_counts(
    of: str, body: Bodies
) -> None:
    world = World(requested=0, actual=3)
    await world.tick(body(scaling=scaling(of)))
    assert world.both == (3, 3)
    world.numbers[MODEL] = 1
    await world.tick(body(scaling=scaling(of)))
    assert world.both == (1, 1)


async def test_a_persons_word_stands_also_where_the_operator_just_started(body: Bodies) -> None:
    world = World(requested=0, actual=3)
    await world.tick(body(scaling=scaling("external")))
    assert world.both == (0, 0)


@pytest.mark.parametrize("of", ["hpa", "keda", "external"])
async def test_no_switch_of_the_class_cuts_pods(of: str, body: Bodies) -> None:
    world = World(requested=4, actual=4)
    world.said = calls(8)
    await world.tick(body(scaling=scaling("atheria")))
    _, pods = world.both
    assert pods >= 4
    # A write that was half done: the request lags behind.
    world.numbers[MODEL] = 2
    await world.tick(body(scaling=scaling(of)))
    assert world.both == (pods, pods)
    await world.tick(body(scaling=scaling("atheria")))
    assert world.both == (pods, pods)


async def test_a_lost_race_at_the_switch_is_run_again(body: Bodies) -> None:
    world = World(requested=0, actual=3)
    world.conflicts = 1
    with pytest.raises(Raced):
        await world.tick(body(scaling=scaling("keda")))
    assert world.both == (0, 3)
    await world.tick(body(scaling=scaling("keda")))
    assert world.both == (3, 3)


async def test_the_number_begins_within_the_maximum(body: Bodies) -> None:
    world = World(requested=0, actual=12)
    await world.tick(body(scaling=scaling("hpa")))
    assert world.both == (8, 8)


@pytest.mark.parametrize("of", ["hpa", "keda"])
async def test_calls_are_told_and_never_decided_about(of: str, body: Bodies) -> None:
    world = World(requested=1, actual=1)
    world.said = calls(50, arrivals=50)
    assert await world.tick(body(scaling=scaling(of))) == TICK_SECONDS
    assert world.both == (1, 1)
    offer = world.offers.get(KEY)
    assert offer is not None
    assert offer.value == 50


async def test_the_loop_goes_on_until_the_value_is_nothing(body: Bodies) -> None:
    world = World(requested=0, actual=0)
    settings = scaling("keda", stableWindow="6s", initialReplicas=0)
    world.said = calls(4, arrivals=4)
    await world.tick(body(scaling=settings))
    world.said = calls(0, arrivals=4)
    looks = 0
    after: float | None = TICK_SECONDS
    while after is not None:
        world.now_seconds += after
        after = await world.tick(body(scaling=settings))
        looks += 1
        assert looks < 20
    offer = world.offers.get(KEY)
    assert offer is not None
    assert offer.is_settled
    assert looks > 3


async def test_nothing_is_told_of_a_model_that_this_operator_or_a_person_scales(body: Bodies) -> None:
    world = World(requested=1, actual=1)
    world.said = calls(2)
    await world.tick(body(scaling=scaling("keda")))
    assert world.offers.get(KEY)
    for of in ("atheria", "external"):
        await world.tick(body(scaling=scaling(of)))
        assert world.offers.get(KEY) is None


async def test_gateways_that_come_back_without_calls_are_looked_at(body: Bodies) -> None:
    world = World(requested=0, actual=0)
    assert await world.tick(body(scaling=scaling("keda"))) == SILENT_SECONDS
    world.said = calls(0)
    assert await world.tick(body(scaling=scaling("keda"))) is None
    offer = world.offers.get(KEY)
    assert offer is not None
    assert offer.is_settled


async def test_silence_withdraws_what_was_told(body: Bodies) -> None:
    world = World(requested=1, actual=1)
    world.said = calls(2)
    await world.tick(body(scaling=scaling("hpa")))
    world.said = None
    await world.tick(body(scaling=scaling("hpa")))
    assert world.offers.get(KEY) is None
    assert world.both == (1, 1)


async def test_an_idle_model_of_an_autoscaler_goes_to_zero_in_both_numbers(body: Bodies) -> None:
    world = World(requested=2, actual=2)
    settings = scaling("hpa", idleTimeout="10s", keepAlive="idleTimeout")
    world.said = calls(0)
    status = {"readyReplicas": 2, "activeRevision": DEPLOYMENT.name}
    for _ in range(13):
        await world.tick({**body(scaling=settings), "status": status})
        world.now_seconds += 1
    assert world.both == (0, 0)
    # And stays, until a call or the autoscaler says otherwise.
    await world.tick({**body(scaling=settings), "status": status})
    assert world.both == (0, 0)
    world.numbers[MODEL] = 2
    await world.tick({**body(scaling=settings), "status": status})
    assert world.both == (2, 2)
