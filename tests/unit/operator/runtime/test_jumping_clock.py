"""The wall clock is put right, by hours and in both directions, while the loops run: what they decide does not follow it.

Proved here: numbers of pods do not depend on the wall clock at all, and no status that follows from one is refused by the API or
has a negative time. Rollouts are in domain/rollout/test_any_order.py, the Lease in test_leadership.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.api.types.status import AtheriaModelStatus
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.status.summary import StatusInput, build_status
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import ObjectRef, Scale
from atheria_operator.runtime.scaler import Scaler, ScalingPorts

KEY = ModelKey(namespace="demo", name="qca")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURS_SECONDS = 4 * 3600


def wall(offset_seconds: float) -> str:
    """RFC 3339, as the operator's clock writes it."""
    return (NOON + timedelta(seconds=offset_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """A cluster in memory and a clock whose wall time is what a test says; all ports of one scaler."""

    def __init__(self) -> None:
        self.monotonic = 0.0
        self.wall_seconds = 0.0
        self.said: Demand | None = None
        self.scales: dict[str, Scale] = {}
        self.numbers: list[int] = []
        self.decisions: deque[Mapping[str, Any]] = deque(maxlen=10)
        ports: Any = self
        given_ports = ScalingPorts(
            cluster=ports, demand=ports, clock=ports, events=ports, telemetry=ports, pods=ports
        )
        self.meter = Meter(ports, {})
        self.scaler = Scaler(KEY, given_ports, self.decisions, self.meter)

    def monotonic_seconds(self) -> float:
        return self.monotonic

    def now(self) -> str:
        return wall(self.wall_seconds)

    def demand(self, _: ModelKey) -> Demand | None:
        return self.said

    def calls_total(self, _: ModelKey) -> int:
        return 0 if self.said is None else self.said.arrivals_total

    def publish(self, *_: Any, **__: Any) -> None:
        """Not looked at."""

    replicas = scaled = decided = publish

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        return self.scales[ref.kind]

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        self.scales[ref.kind] = Scale(
            replicas=scale.replicas, resource_version=str(int(scale.resource_version) + 1)
        )
        return self.scales[ref.kind]

    async def look(self, ready: int) -> None:
        kinds = (names.MODEL_KIND, "Deployment")
        for kind in kinds:
            self.scales.setdefault(kind, Scale(replicas=1, resource_version="1"))
        model, deployment = (self.scales[kind] for kind in kinds)
        scaling = {"minReplicas": 0, "maxReplicas": 4, "idleTimeout": "30s", "scaleDownDelay": "20s"}
        body = {
            "metadata": {
                "name": "qca",
                "namespace": "demo",
                "uid": "u",
                "generation": 1,
                "resourceVersion": model.resource_version,
            },
            "spec": {
                "model": {"source": "builtin://echo"},
                "scaling": scaling,
                "replicas": model.replicas,
            },
            "status": {
                "readyReplicas": ready,
                "activeRevision": "qca-a",
                "revisions": [{"name": "qca-a", "weight": 100, "mayRun": True}],
            },
        }
        child = {
            "kind": "Deployment",
            "metadata": {
                "name": "qca-a",
                "resourceVersion": deployment.resource_version,
                "ownerReferences": [{"uid": "u"}],
            },
            "spec": {"replicas": deployment.replicas},
        }
        await self.scaler.tick(body, Observed(children={("Deployment", "qca-a"): child}))
        self.numbers.append(self.scales["Deployment"].replicas)


demands = st.none() | st.builds(
    Demand,
    held=st.integers(0, 20),
    in_flight=st.integers(0, 20),
    arrivals_total=st.integers(0, 50),
    is_complete=st.booleans(),
)
looks = st.lists(
    st.tuples(st.floats(0.5, 60), st.integers(-HOURS_SECONDS, HOURS_SECONDS), st.integers(0, 4), demands),
    min_size=1,
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(looks)
def test_a_jumping_wall_clock_changes_no_number_of_pods_and_no_sum(
    given_looks: list[tuple[float, int, int, Demand | None]],
) -> None:
    steady, jumping = World(), World()

    async def follow() -> None:
        for passed_seconds, jump_seconds, ready, said in given_looks:
            for world in (steady, jumping):
                world.monotonic += passed_seconds
                world.wall_seconds += passed_seconds
                world.said = said
            jumping.wall_seconds += jump_seconds
            for world in (steady, jumping):
                await world.look(ready)

    asyncio.run(follow())
    assert jumping.numbers == steady.numbers
    for figure in ("seconds", "busy_seconds", "idle_seconds", "loading_seconds", "calls"):
        assert getattr(jumping.meter.usage, figure) == getattr(steady.meter.usage, figure)


def test_sixty_seconds_of_calls_are_scaled_alike_when_the_clock_goes_back_a_day() -> None:
    """One case by name, so that the property above is not about models at rest."""

    async def follow(world: World, jump_seconds: float) -> None:
        for second in range(120):
            world.monotonic, world.wall_seconds = second, second + (jump_seconds if second > 10 else 0)
            busy = Demand(held=0, in_flight=16, arrivals_total=second, is_complete=True)
            idle = Demand(held=0, in_flight=0, arrivals_total=60, is_complete=True)
            world.said = busy if second < 60 else idle
            await world.look(1)

    steady, back = World(), World()
    asyncio.run(follow(steady, 0))
    asyncio.run(follow(back, -86_400))
    assert back.numbers == steady.numbers
    assert (max(back.numbers), back.numbers[-1]) == (4, 0)


def pod(created: int, scheduled: int | None, running: int | None, ready: int | None) -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": wall(at)}
        for kind, at in (("PodScheduled", scheduled), ("Ready", ready))
        if at is not None
    ]
    state = {} if running is None else {"running": {"startedAt": wall(running)}}
    return {
        "metadata": {
            "name": "p",
            "uid": "p",
            "labels": {names.LABEL_REVISION: "a"},
            "creationTimestamp": wall(created),
        },
        "status": {
            "conditions": conditions,
            "containerStatuses": [{"name": names.CONTAINER_MODEL, "state": state}],
        },
    }


def seconds_in(value: Any) -> list[float]:
    """All figures whose name says seconds, at any depth."""
    if isinstance(value, Mapping):
        own = [item for name, item in value.items() if str(name).lower().endswith("seconds")]
        return [*own, *(number for item in value.values() for number in seconds_in(item))]
    if isinstance(value, list):
        return [number for item in value for number in seconds_in(item)]
    return []


times = st.integers(-HOURS_SECONDS, HOURS_SECONDS)
pods = st.builds(pod, times, st.none() | times, st.none() | times, st.none() | times)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(pods, times), min_size=1, max_size=6))
def test_no_status_has_a_negative_time_or_is_refused_whatever_the_clocks_say(
    given_looks: list[tuple[dict[str, Any], int]],
) -> None:
    """The times of a pod are those of other machines' clocks, and `now` is the operator's."""
    deployment = {
        "kind": "Deployment",
        "metadata": {
            "name": "qca-a",
            "labels": {names.LABEL_REVISION: "a"},
            "ownerReferences": [{"uid": "u"}],
        },
        "spec": {"replicas": 1},
    }
    status: dict[str, Any] = {}
    for one, now_seconds in given_looks:
        seen = StatusInput(
            key=KEY,
            uid="u",
            generation=1,
            observed=Observed(children={("Deployment", "qca-a"): deployment}, pods=(one,)),
            desired_revision="qca-a",
            active_revision="qca-a",
            before=status,
        )
        status = build_status(seen, wall(now_seconds))
        AtheriaModelStatus.model_validate(status)
        assert all(number >= 0 for number in seconds_in(status))
