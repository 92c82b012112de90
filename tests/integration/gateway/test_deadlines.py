"""A call that cannot wait until its model is ready is told so at once, and wakes the model all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, ScaleTarget, Watched, eventually


def _model_that_starts_in(seconds: float) -> dict[str, Any]:
    body = harness.model_object(QCA)
    body["status"]["starts"] = [{"revision": "qca-abc123", "totalSeconds": seconds}]
    return body


def _retry_delay_s(error: grpc.aio.AioRpcError) -> float:
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    retry = error_details_pb2.RetryInfo()
    assert [part.Unpack(retry) for part in status.details].count(True) == 1
    return float(retry.retry_delay.ToTimedelta().total_seconds())


async def test_a_deadline_before_the_model_is_ready_is_refused_at_once_with_the_estimate(
    gateway: Any,
) -> None:
    gateway.kube.put(Watched.MODELS, _model_that_starts_in(40.0))
    await eventually("the history", lambda: gateway.active.world.models[QCA].start_seconds == (40.0,))
    async with gateway.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.S/Unary")(b"x", timeout=30)
    # A deadline that had passed would be DEADLINE_EXCEEDED.
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "should have one in 40.0 s (from the last start)" in str(caught.value.details())
    assert _retry_delay_s(caught.value) == 40.0
    assert gateway.held() == 0
    await eventually(
        "the model woken all the same",
        lambda: {target for target, _ in gateway.kube.patches} == {ScaleTarget.MODEL, ScaleTarget.DEPLOYMENT},
    )


async def test_deadlines_behind_the_estimate_and_calls_without_one_are_held(gateway: Any, pod: Any) -> None:
    gateway.kube.put(Watched.MODELS, _model_that_starts_in(10.0))
    await eventually("the history", lambda: gateway.active.world.models[QCA].start_seconds == (10.0,))
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        calls = [
            asyncio.ensure_future(_answer(unary(b"1", timeout=60))),
            asyncio.ensure_future(_answer(unary(b"2"))),
        ]
        await eventually("both held", lambda: gateway.held() == 2)
        gateway.kube.set_pod(QCA, pod.ports)
        assert await asyncio.wait_for(asyncio.gather(*calls), 20) == [b"1", b"2"]
        # A ready pod answers whatever the deadline.
        assert await unary(b"3", timeout=9) == b"3"


async def test_the_gateway_learns_from_the_starts_that_it_saw(gateway: Any, pod: Any) -> None:
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        first = asyncio.ensure_future(_answer(unary(b"1", timeout=60)))
        await eventually("a held call", lambda: gateway.held() == 1)
        gateway.kube.set_pod(QCA, pod.ports)
        assert await asyncio.wait_for(first, 20) == b"1"
        (taken_s,) = gateway.active.holding.starts.taken(QCA)
        gateway.kube.set_pod(QCA, None)
        await eventually(
            "the pod withdrawn", lambda: not gateway.active.world.ready_of(QCA) and gateway.active.is_settled
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(b"2", timeout=taken_s / 10)
        # On a slow machine so short a deadline may pass before the answer is back; held it was not.
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def test_refusals_of_rest_say_when_to_try_again(run_directory: Any) -> None:
    gateway = harness.Gateway(run_directory, hold_limit=1)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA))
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        await gateway.wait_until_routed()
        async with gateway.channel() as channel, aiohttp.ClientSession() as session:
            held = channel.unary_unary("/t.S/Unary")(b"x")
            await eventually("one held call", lambda: gateway.held() == 1)
            async with session.get(gateway.url("/v2/models/qca/ready")) as answer:
                assert (answer.status, answer.headers["retry-after"]) == (429, "1")
                assert "the gateway holds 1 calls" in (await answer.json())["error"]
            held.cancel()
    finally:
        await gateway.stop()


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
