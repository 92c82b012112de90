"""A gateway pod that ends loses no call that it holds: it lets it go, or hands it back with a reason and a time to try again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from atheria_gateway.core.hold import Denial, Refusal
from atheria_gateway.xds.check_headers import HeldCall
from atheria_local.free_ports import free_port
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually

CALL = HeldCall(model=QCA, http=False)


@pytest.fixture
async def ending(request: pytest.FixtureRequest, run_directory: Path) -> AsyncIterator[Any]:
    """A gateway that holds calls for 2 s, or as the test says, after it was told to end; model demo/qca is at zero."""
    gateway = harness.Gateway(run_directory, drain_s=getattr(request, "param", 2.0), hand_back_s=1.0)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA))
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        await gateway.wait_until_routed()
        yield gateway
    finally:
        await gateway.stop()


async def test_calls_that_wait_until_its_end_are_handed_back_with_a_time_to_try_again(ending: Any) -> None:
    async with ending.channel() as channel, aiohttp.ClientSession() as session:
        unary = channel.unary_unary("/t.S/Unary")
        by_grpc = asyncio.ensure_future(_refusal(unary(b"x", timeout=120)))
        by_rest = asyncio.ensure_future(_rest(session, ending))
        await eventually("both held", lambda: ending.held() == 2)
        await asyncio.wait_for(ending.active.drain(), 60)
        _is_handed_back(await asyncio.wait_for(by_grpc, 60))
        assert await asyncio.wait_for(by_rest, 60) == (503, "1", True)
        # Whoever comes over a connection that lasts is told the same, and at once.
        _is_handed_back(await asyncio.wait_for(_refusal(unary(b"x", timeout=120)), 60))
        assert await asyncio.wait_for(_rest(session, ending), 60) == (503, "1", True)


@pytest.mark.parametrize("ending", [60.0], indirect=True)
async def test_until_then_calls_are_held_and_let_go_also_one_that_comes_when_nobody_waits(
    ending: Any, pod: Any
) -> None:
    async with ending.channel() as channel:
        await channel.channel_ready()
        leaving = asyncio.create_task(ending.active.drain())
        try:
            await eventually("ending", lambda: ending.active.draining)
            call = asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"x", timeout=120)))
            await eventually("held", lambda: ending.held() == 1)
            ending.kube.set_pod(QCA, pod.ports)
            assert await asyncio.wait_for(call, 60) == b"x"
        finally:
            leaving.cancel()


async def test_calls_that_come_before_the_cluster_is_listed_are_handed_back_too(run_directory: Path) -> None:
    gateway = harness.Gateway(run_directory, drain_s=0.0, hand_back_s=0.0)
    gateway.kube.is_listed = False
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        waits = asyncio.create_task(gateway.active.hold(CALL))
        await asyncio.sleep(0)
        assert not waits.done()
        await asyncio.wait_for(gateway.active.drain(), 60)
        for answer in (await asyncio.wait_for(waits, 60), await gateway.active.hold(CALL)):
            assert isinstance(answer, Denial)
            assert (answer.refusal, answer.retry_after_s) == (Refusal.DRAINING, 1.0)
    finally:
        await gateway.stop()


async def test_a_call_that_is_tried_again_is_handed_back_too(ending: Any, pod: Any) -> None:
    # Ready for everybody, and nothing listens there: Envoy tries again and asks the activator each time.
    ending.kube.set_pod(QCA, (free_port(), free_port()))
    await eventually("Envoy told", lambda: ending.active.is_settled)
    async with ending.channel() as channel:
        call = asyncio.ensure_future(_refusal(channel.unary_unary("/t.S/Unary")(b"x", timeout=120)))
        await eventually("held", lambda: ending.held() == 1)
        await asyncio.wait_for(ending.active.drain(), 60)
        _is_handed_back(await asyncio.wait_for(call, 60))


def _is_handed_back(error: grpc.aio.AioRpcError) -> None:
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "this gateway pod ends" in str(error.details())
    details = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(details["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, retry.retry_delay.ToSeconds()) == ("DRAINING", 1)


async def _refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def _rest(session: aiohttp.ClientSession, gateway: Any) -> tuple[int, str | None, bool]:
    async with session.get(gateway.url("/v2/models/qca/ready")) as answer:
        words = (await answer.json())["error"]
        return answer.status, answer.headers.get("retry-after"), "this gateway pod ends" in words


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
