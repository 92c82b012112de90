"""Calls shared between two revisions by weight, and none lost when the weights change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually

OLD, NEW = "qca-aaa", "qca-bbb"


@pytest.fixture
async def pods() -> AsyncIterator[tuple[Any, Any]]:
    """A pod of the old revision and one of the new."""
    both = (await harness.Pod("old").start(), await harness.Pod("new").start())
    yield both
    for one in both:
        await one.stop()


def share(gateway: Any, old: int, new: int) -> None:
    """Write the weights as the operator does."""
    body = harness.model_object(QCA)
    body["status"] = {
        "activeRevision": OLD if old else NEW,
        "revisions": [{"name": OLD, "weight": old}, {"name": NEW, "weight": new}],
    }
    gateway.kube.put(Watched.MODELS, body)


def set_pod(gateway: Any, revision: str, ports: tuple[int, int] | None) -> None:
    gateway.kube.put(Watched.SLICES, harness.slice_object(QCA, ports, revision=revision.removeprefix("qca-")))


@pytest.fixture
async def shared(gateway: Any, pods: tuple[Any, Any]) -> Any:
    """Both revisions have a ready pod; the old one takes all calls."""
    share(gateway, 100, 0)
    set_pod(gateway, OLD, pods[0].ports)
    set_pod(gateway, NEW, pods[1].ports)
    return gateway


async def answers(gateway: Any, count: int) -> None:
    """So many gRPC calls, one after the other."""
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        for _ in range(count):
            assert await unary(b"x", timeout=60) == b"x"


async def until_routed(gateway: Any, weights: dict[str, int]) -> None:
    """Until Envoy has acknowledged routes with these weights."""

    def is_known() -> bool:
        plane = gateway.active.world.data_plane()
        known = {one.revision: one.weight for one in plane.shares.get(QCA, ())}
        return known == weights and gateway.active.is_settled

    await eventually(f"weights {weights} in Envoy", is_known)


async def test_calls_are_shared_by_weight(shared: Any, pods: tuple[Any, Any]) -> None:
    old, new = pods
    await answers(shared, 20)
    assert (old.calls, new.calls) == (20, 0)
    share(shared, 70, 30)
    await until_routed(shared, {OLD: 70, NEW: 30})
    old.calls = new.calls = 0
    await answers(shared, 400)
    assert old.calls + new.calls == 400
    # Five standard deviations of a draw of 400 at 30 % are 46.
    assert 74 <= new.calls <= 166
    share(shared, 0, 100)
    await until_routed(shared, {})
    # An Envoy's thread takes routes up a moment after they were acknowledged.
    await answers(shared, 2)
    old.calls = new.calls = 0
    await answers(shared, 20)
    assert (old.calls, new.calls) == (0, 20)


async def test_no_call_is_lost_while_the_weights_go_up_and_down(shared: Any, pods: tuple[Any, Any]) -> None:
    done = asyncio.Event()

    async def call() -> int:
        count = 0
        async with shared.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            while not done.is_set():
                assert await unary(b"x" * 1000, timeout=20) == b"x" * 1000
                count += 1
        return count

    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(call()) for _ in range(8)]
        for _ in range(5):
            for new in (10, 50, 100, 0):
                share(shared, 100 - new, new)
                await until_routed(shared, {} if new in (0, 100) else {OLD: 100 - new, NEW: new})
        done.set()
    assert sum(caller.result() for caller in callers) == sum(pod.calls for pod in pods)


async def test_a_revision_without_pods_leaves_its_share_to_the_other_one(
    shared: Any, pods: tuple[Any, Any]
) -> None:
    share(shared, 50, 50)
    await until_routed(shared, {OLD: 50, NEW: 50})
    set_pod(shared, NEW, None)
    await eventually(
        "the pod withdrawn",
        lambda: len(shared.active.world.ready_of(QCA)) == 1 and shared.active.is_settled,
    )
    # As above.
    await answers(shared, 2)
    pods[0].calls = pods[1].calls = 0
    await answers(shared, 50)
    assert (pods[0].calls, pods[1].calls) == (50, 0)


async def test_calls_errors_and_latencies_are_counted_by_revision(shared: Any, pods: tuple[Any, Any]) -> None:
    share(shared, 50, 50)
    await until_routed(shared, {OLD: 50, NEW: 50})
    pods[1].fails = True
    failed = 0
    async with shared.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        for _ in range(40):
            try:
                await unary(b"x", timeout=60)
            except harness.grpc.aio.AioRpcError:
                failed += 1
    assert failed == pods[1].failures > 0

    def counted() -> bool:
        if not shared.demands.reports:
            return False
        figures = {one.revision: one for one in shared.demands.reports[-1][0].revisions}
        if set(figures) != {OLD, NEW}:
            return False
        old, new = figures[OLD], figures[NEW]
        # Envoy's worker takes routes a moment after they are acknowledged: the first calls may have gone by those before.
        return (
            38 - failed <= old.calls <= 40 - failed
            and old.errors == 0
            and new.calls == new.errors == failed
            and sum(count for _, count in old.latency) == old.calls
        )

    await eventually("the figures of both revisions", counted)
    assert shared.demands.reports[-1][0].arrivals_total == 40


async def test_a_swap_holds_calls_without_waking_the_revision_that_makes_room(
    shared: Any, pods: tuple[Any, Any]
) -> None:
    set_pod(shared, NEW, None)
    body = harness.model_object(QCA, replicas=1)
    body["status"] = {
        "activeRevision": OLD,
        "revisions": [
            {"name": OLD, "weight": 100, "mayRun": False},
            {"name": NEW, "weight": 0, "mayRun": False},
        ],
    }
    shared.kube.put(Watched.MODELS, body)
    await answers(shared, 1)
    set_pod(shared, OLD, None)
    # Envoy has it too: a call sent earlier would rightly be answered by the old pod, which is still alive.
    await eventually(
        "the pod withdrawn", lambda: not shared.active.world.ready_of(QCA) and shared.active.is_settled
    )
    call = asyncio.create_task(answers(shared, 1))
    await eventually("a held call", lambda: shared.held() == 1)
    assert shared.kube.patches == []
    share(shared, 0, 100)
    await eventually("the new revision woken", lambda: NEW in {key.name for _, key in shared.kube.patches})
    assert OLD not in {key.name for _, key in shared.kube.patches}
    set_pod(shared, NEW, pods[1].ports)
    await asyncio.wait_for(call, 20)
    assert (pods[0].calls, pods[1].calls) == (1, 1)


async def test_no_call_is_lost_in_a_swap(shared: Any, pods: tuple[Any, Any]) -> None:
    old, new = pods
    set_pod(shared, NEW, None)
    done = asyncio.Event()

    async def call() -> int:
        count = 0
        async with shared.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            while not done.is_set():
                assert await unary(b"x" * 1000, timeout=30) == b"x" * 1000
                count += 1
        return count

    async with asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(call()) for _ in range(8)]
        await eventually("calls at the old revision", lambda: old.calls > 50)
        body = harness.model_object(QCA, replicas=1)
        revisions = [{"name": OLD, "weight": 100, "mayRun": False}]
        body["status"] = {"activeRevision": OLD, "revisions": revisions}
        shared.kube.put(Watched.MODELS, body)
        # A pod that ends refuses what it has not begun, then leaves the slice, then is gone.
        old.is_draining = True
        await eventually("a refused call", lambda: old.refusals > 0)
        set_pod(shared, OLD, None)
        await eventually("all callers held", lambda: shared.held() == 8)
        await old.stop()
        share(shared, 0, 100)
        set_pod(shared, NEW, new.ports)
        await eventually("calls at the new revision", lambda: new.calls > 50)
        done.set()
    assert sum(caller.result() for caller in callers) == old.calls + new.calls
    assert OLD not in {key.name for _, key in shared.kube.patches}


async def test_a_call_that_is_tried_again_while_a_share_ends_is_answered(
    shared: Any, pods: tuple[Any, Any]
) -> None:
    share(shared, 50, 50)
    await until_routed(shared, {OLD: 50, NEW: 50})
    for pod in pods:
        pod.is_draining = True
    calls = [asyncio.create_task(answers(shared, 1)) for _ in range(8)]
    await eventually("all calls refused once", lambda: sum(pod.refusals for pod in pods) > 8)
    share(shared, 0, 100)
    await until_routed(shared, {})
    pods[1].is_draining = False
    await asyncio.wait_for(asyncio.gather(*calls), 60)
    assert (pods[0].calls, pods[1].calls) == (0, 8)


async def test_a_call_that_is_tried_again_after_the_activator_was_restarted_in_a_canary_is_answered(
    shared: Any, pods: tuple[Any, Any]
) -> None:
    share(shared, 50, 50)
    await until_routed(shared, {OLD: 50, NEW: 50})
    for pod in pods:
        pod.is_draining = True
    calls = [asyncio.create_task(answers(shared, 1)) for _ in range(8)]
    await eventually("all calls refused once", lambda: sum(pod.refusals for pod in pods) > 8)
    await shared.stop_activator()
    # Nobody who saw the share is there when it ends.
    share(shared, 0, 100)
    await shared.start_activator()
    await until_routed(shared, {})
    refused = sum(pod.refusals for pod in pods)
    await eventually("a call refused again", lambda: sum(pod.refusals for pod in pods) > refused)
    pods[1].is_draining = False
    await asyncio.wait_for(asyncio.gather(*calls), 60)
    assert (pods[0].calls, pods[1].calls) == (0, 8)
