"""Gateways share nothing: each holds and wakes on its own, and one goes on when the other is gone."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gateway_harness as harness
import pytest
from gateway_harness import QCA, ScaleTarget, Watched, eventually


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


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
