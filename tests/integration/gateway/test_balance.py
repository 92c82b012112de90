"""Calls of one connection are shared evenly by the pods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, eventually

PODS = 4
CALLS = 4000


@pytest.fixture
async def pods(gateway: Any) -> AsyncIterator[list[Any]]:
    """Four ready pods that Envoy knows."""
    found = [await harness.Pod(f"pod-{number}").start() for number in range(PODS)]
    for number, one in enumerate(found):
        gateway.kube.add_pod(QCA, one.ports, number)
    await eventually(
        "all in Envoy", lambda: len(gateway.active.world.ready_of(QCA)) == PODS and gateway.active.is_settled
    )
    yield found
    for one in found:
        await one.stop()


@pytest.mark.parametrize("callers", [1, 32])
async def test_four_pods_get_equal_parts_of_the_calls_of_one_connection(
    gateway: Any, pods: list[Any], callers: int
) -> None:
    # Among pods that are all idle Envoy draws: a tenth is five standard deviations of a draw of twice as many.
    count = 2 * CALLS if callers == 1 else CALLS
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")

        async def call() -> None:
            for _ in range(count // callers):
                await unary(b"x", timeout=20)

        await asyncio.gather(*(call() for _ in range(callers)))
    counts = [one.calls for one in pods]
    assert sum(counts) == count
    assert max(counts) <= 1.1 * count / PODS, counts
    assert min(counts) >= 0.9 * count / PODS, counts


async def test_a_pod_that_is_busy_gets_no_more_calls_while_others_are_idle(
    gateway: Any, pods: list[Any]
) -> None:
    pods[0].gate = asyncio.Event()
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        waiting: list[Any] = []
        while pods[0].running == 0:
            waiting.append(asyncio.ensure_future(_answer(unary(b"x", timeout=60))))
            await asyncio.wait(waiting[-1:], timeout=0.2)
        before = pods[0].calls
        for _ in range(50):
            await unary(b"y", timeout=20)
        assert pods[0].calls == before
        pods[0].gate.set()
        await asyncio.gather(*waiting)


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
