"""A model that never gets a pod: its callers are told why, in a bounded time."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import grpc
import pytest

from tests.integration.gateway import harness


async def test_a_hold_that_ends_without_a_pod_is_unavailable_with_the_phase(run_directory: Path) -> None:
    gateway = harness.Gateway(run_directory, hold_s=1.0)
    gateway.kube.put(harness.Watched.MODELS, harness.model_object(harness.QCA))
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        await gateway.wait_until_routed()
        async with gateway.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/t.S/Unary")(b"x", timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "model demo/qca had no ready pod for 1 s" in str(caught.value.details())
        assert "its phase is ScaledToZero" in str(caught.value.details())
        async with (
            aiohttp.ClientSession() as session,
            session.get(gateway.url("/v2/models/qca/ready")) as answer,
        ):
            assert answer.status == 503
            assert "its phase is ScaledToZero" in (await answer.json())["error"]
    finally:
        await gateway.stop()
