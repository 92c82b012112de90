"""The loops of one model: when they end, and what they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.handlers.children import CHILDREN
from atheria_operator.handlers.dependencies import Dependencies
from atheria_operator.handlers.model_loops import KopfEvents, ModelLoops
from atheria_operator.runtime.heartbeat import Heartbeat
from atheria_operator.runtime.ports import ClusterError
from atheria_operator.runtime.sight import Sight
from atheria_operator.runtime.upgrade_wave import UpgradeWave
from atheria_operator.runtime.wakeups import Wakeups

KEY = ModelKey(namespace="demo", name="qca")
Bodies = Callable[..., dict[str, Any]]


class Stopped:
    """Kopf's flag of the end of a daemon."""

    def __init__(self) -> None:
        self.flag = asyncio.Event()

    def __bool__(self) -> bool:
        return self.flag.is_set()

    async def wait(self) -> None:
        await self.flag.wait()


class World:
    """All ports of the loops, and what came of it."""

    def __init__(self) -> None:
        self.statuses: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self.deleted: list[str] = []
        self.asked = asyncio.Event()
        self.was_cancelled = False
        self.left: frozenset[str] = frozenset()
        self.forgotten: list[ModelKey] = []
        self.is_fenced = False
        self.refused: asyncio.Queue[str] = asyncio.Queue()
        self.reconcile_wakeups = Wakeups()
        self.stopped = Stopped()
        self.indexes: dict[str, Any] = {f"{kind.lower()}s_by_model": {} for kind in CHILDREN}
        self.indexes |= {"pods_by_model": {}, "profiles_by_name": {}}
        ports: Any = self
        self.given = Dependencies(
            cluster=ports,
            models=ports,
            demand=ports,
            pod_reports=ports,
            pod_events=ports,
            clock=ports,
            telemetry=ports,
            defaults=ServerDefaults(image="server:1"),
            resync_seconds=3600,
            heartbeat=Heartbeat(ports, stuck_seconds=600),
            sight=Sight(),
            reconcile_wakeups=self.reconcile_wakeups,
            scaling_wakeups=Wakeups(),
            upgrades=UpgradeWave(at_once=1),
            leaving=lambda: self.left,
        )

    def run(self, body: Any) -> asyncio.Task[None]:
        stopped: Any = self.stopped
        return asyncio.create_task(ModelLoops(KEY, body, stopped, self.indexes, self.given).run())

    async def apply_status(self, _: Any, status: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.is_fenced:
            raise ClusterError(0, "PATCH: not sent, this operator does not hold the Lease")
        self.statuses.put_nowait(status)
        return {"metadata": {"resourceVersion": "1"}}

    async def delete_workloads(self, _namespace: str, _name: str, uid: str) -> int:
        self.deleted.append(uid)
        return 1

    async def fetch(self, _url: str, **_: Any) -> Any:
        self.asked.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    def demand(self, _: ModelKey) -> None:
        return None

    def forget(self, key: ModelKey) -> None:
        self.forgotten.append(key)

    def reported(self, _key: ModelKey, _figures: Any) -> None:
        pass

    def reconciled(self, _seconds: float, reason: str) -> None:
        if reason:
            self.refused.put_nowait(reason)

    def monotonic_seconds(self) -> float:
        return 0.0

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"

    def jitter(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def no_poster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kopf's poster of Events needs a running kopf."""
    monkeypatch.setattr(KopfEvents, "publish", lambda *_, **__: None)


@pytest.fixture
def refused(body: Bodies) -> dict[str, Any]:
    """A model whose spec is refused: it gets a status and nothing else."""
    return body(model={"source": "nowhere://x"})


async def first_status(world: World) -> None:
    await asyncio.wait_for(world.statuses.get(), 5)


async def test_the_loops_end_when_kopf_says_so_and_what_was_kept_is_forgotten(
    refused: dict[str, Any],
) -> None:
    world = World()
    running = world.run(refused)
    await first_status(world)
    world.stopped.flag.set()
    await asyncio.wait_for(running, 5)
    assert world.deleted == []
    assert not world.given.decisions
    assert not world.given.meters
    assert world.forgotten == [KEY, KEY]
    world.reconcile_wakeups.wake(KEY)
    await asyncio.sleep(0)
    assert world.statuses.empty()


async def test_the_loops_of_a_leaving_model_end_without_kopf_and_its_deployments_go(
    refused: dict[str, Any],
) -> None:
    world = World()
    running = world.run(refused)
    await first_status(world)
    refused["metadata"]["deletionTimestamp"] = world.now()
    world.left = frozenset({str(refused["metadata"]["uid"])})
    world.given.wake(KEY)
    await asyncio.wait_for(running, 5)
    assert world.deleted == [refused["metadata"]["uid"]]


async def test_a_pod_that_does_not_answer_does_not_hold_up_the_end(refused: dict[str, Any]) -> None:
    world = World()
    world.indexes["pods_by_model"][KEY] = [
        {
            "metadata": {"name": "qca-1-x", "uid": "p", "labels": {names.LABEL_REVISION: "1"}},
            "spec": {"containers": [{"name": names.CONTAINER_MODEL}]},
            "status": {
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": names.CONTAINER_MODEL, "ready": True, "restartCount": 0, "containerID": "c"}
                ],
            },
        }
    ]
    running = world.run(refused)
    await asyncio.wait_for(world.asked.wait(), 5)
    refused["metadata"]["deletionTimestamp"] = world.now()
    world.stopped.flag.set()
    await asyncio.wait_for(running, 5)
    assert world.was_cancelled
    assert world.deleted == [refused["metadata"]["uid"]]


async def test_a_daemon_that_kopf_cancels_leaves_nothing_running(refused: dict[str, Any]) -> None:
    world = World()
    before = asyncio.all_tasks()
    running = world.run(refused)
    await first_status(world)
    running.cancel()
    await asyncio.wait([running])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert world.forgotten == [KEY, KEY]


async def test_a_model_that_waits_after_a_refusal_is_reconciled_at_once_when_the_operator_may_write_again(
    refused: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atheria_operator.handlers.model_loops.backoff_seconds", lambda *_: 3600.0)
    world = World()
    world.is_fenced = True
    running = world.run(refused)
    assert await asyncio.wait_for(world.refused.get(), 5) == "Unreachable"
    world.is_fenced = False
    world.given.regained.wake_all()
    await first_status(world)
    running.cancel()
    await asyncio.wait([running])
