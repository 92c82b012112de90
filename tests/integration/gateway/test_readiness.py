"""A gateway takes calls only when Envoy has acknowledged a first full picture of the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from atheria_gateway.runtime.ports import WatchEvent
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually


async def test_envoy_opens_its_ports_only_with_routes_and_the_activator_is_ready_with_them(
    run_directory: Path, pod: Any
) -> None:
    gateway = harness.Gateway(run_directory)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA))
    gateway.kube.set_pod(QCA, pod.ports)
    listing = asyncio.Event()
    follow = gateway.kube.follow

    async def slow(watched: Watched) -> AsyncIterator[WatchEvent]:
        if watched is Watched.SLICES:
            await listing.wait()
        async for event in follow(watched):
            yield event

    gateway.kube.follow = slow  # type: ignore[method-assign]
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        await eventually("Envoy's stream", lambda: gateway.active._stream is not None)
        assert not gateway.active.is_ready
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", gateway.ports[0])
        listing.set()
        await gateway.wait_until_routed()
        await eventually("readiness", lambda: gateway.active.is_ready)
        async with gateway.channel() as channel:
            # No call meets a gateway that does not know its pods yet.
            assert await channel.unary_unary("/t.S/Unary")(b"first", timeout=10) == b"first"
    finally:
        await gateway.stop()


async def test_a_new_envoy_is_given_everything_again(gateway: Any, pod: Any) -> None:
    gateway.kube.set_pod(QCA, pod.ports)
    await eventually("readiness", lambda: gateway.active.is_ready)
    await gateway.kill_envoy()
    await eventually("no readiness without Envoy", lambda: not gateway.active.is_ready)
    await gateway.start_envoy()
    await gateway.wait_until_routed()
    await eventually("readiness again", lambda: gateway.active.is_ready)
    async with gateway.channel() as channel:
        assert await channel.unary_unary("/t.S/Unary")(b"again", timeout=10) == b"again"
