"""Gateways share nothing: each holds and wakes on its own, and one goes on when the other is gone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from atheria_gateway.core import pace
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, ScaleTarget, Watched, eventually


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Any, Any]]:
    """Two gateways over one cluster, with model demo/qca at zero."""
    with tempfile.TemporaryDirectory(prefix="gw-") as one, tempfile.TemporaryDirectory(prefix="gw-") as two:
        first, second = harness.Gateway(Path(one)), harness.Gateway(Path(two))
        second.kube = first.kube
        first.kube.put(Watched.MODELS, harness.model_object(QCA))
        for gateway in (first, second):
            await gateway.start_envoy()
            await gateway.start_activator()
            await gateway.wait_until_routed()
        yield first, second
        for gateway in (first, second):
            await gateway.stop()


async def test_each_gateway_wakes_the_model_and_releases_its_own_calls(
    pair: tuple[Any, Any], pod: Any
) -> None:
    first, second = pair
    async with first.channel() as one, second.channel() as two:
        calls = []
        for gateway, channel in ((first, one), (second, two)):
            before = len(first.kube.patches)
            calls.append(asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"x"))))
            await eventually("held", lambda gateway=gateway: gateway.held() == 1)
            await eventually(
                "woken by it",
                lambda before=before: (
                    {ScaleTarget.MODEL, ScaleTarget.DEPLOYMENT}
                    <= {target for target, _ in first.kube.patches[before:]}
                ),
            )
        first.kube.set_pod(QCA, pod.ports)
        assert await asyncio.wait_for(asyncio.gather(*calls), 20) == [b"x", b"x"]


async def test_one_gateway_wakes_and_serves_after_the_other_was_killed(
    pair: tuple[Any, Any], pod: Any
) -> None:
    first, second = pair
    await first.stop()
    first.kube.patches.clear()
    async with second.channel() as channel:
        call = asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"x")))
        await eventually("held and woken", lambda: second.held() == 1 and bool(first.kube.patches))
        first.kube.set_pod(QCA, pod.ports)
        assert await asyncio.wait_for(call, 20) == b"x"


async def test_gateways_share_what_a_pod_can_take_of_their_backlogs(
    pair: tuple[Any, Any], pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a slow machine would release another portion meanwhile.
    monkeypatch.setattr(pace, "PATIENCE_S", 3600.0)
    first, second = pair
    first.kube.put(Watched.MODELS, harness.model_object(QCA, batch_size=2))
    for number in (1, 2):
        first.kube.put(Watched.PODS, _gateway_pod(number))
    await eventually("both know of both", lambda: all(one.active.world.ready_gateways == 2 for one in pair))
    pod.gate = asyncio.Event()
    room = 2 * pace.BATCHES_PER_WORKER
    async with first.channel() as one, second.channel() as two:
        calls = [
            asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"x")))
            for channel in (one, two)
            for _ in range(20)
        ]
        await eventually("all held", lambda: (first.held(), second.held()) == (20, 20))
        first.kube.set_pod(QCA, pod.ports)
        await eventually("a full pod", lambda: pod.running == room)
        assert (first.held(), second.held()) == (20 - room // 2, 20 - room // 2)
        pod.gate.set()
        assert await asyncio.wait_for(asyncio.gather(*calls), 60) == [b"x"] * 40
    assert pod.most_running == room


def _gateway_pod(number: int) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "atheria-system", "name": f"gateway-{number}"},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{number}",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
