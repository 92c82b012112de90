"""Requests above the model server's limit are refused with a clear status, warm and from zero; none hangs."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
import grpc
import pytest

from atheria_gateway.core.model import ModelKey
from tests.integration.gateway.harness import MESSAGE_LIMIT_BYTES, QCA, Watched, eventually, model_object

TOO_LARGE = bytes(MESSAGE_LIMIT_BYTES + 1_000_000)


async def test_a_grpc_message_above_the_servers_limit_is_refused_as_exhausted(gateway: Any, pod: Any) -> None:
    gateway.kube.set_pod(QCA, pod.ports)
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(TOO_LARGE, timeout=30)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in str(caught.value.details())
        assert await unary(b"the connection still works", timeout=10) == b"the connection still works"


async def test_a_grpc_message_above_the_servers_limit_is_refused_after_a_wake_too(
    gateway: Any, pod: Any
) -> None:
    async with gateway.channel() as channel:
        call = asyncio.ensure_future(_status(channel.unary_unary("/t.S/Unary")(TOO_LARGE, timeout=60)))
        await eventually("one held call", lambda: gateway.held() == 1)
        gateway.kube.set_pod(QCA, pod.ports)
        assert await call is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_messages_below_the_limit_pass_warm_and_from_zero(gateway: Any, pod: Any) -> None:
    body = bytes(MESSAGE_LIMIT_BYTES - 1_000_000)
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        held = asyncio.ensure_future(_size(unary(body, timeout=60)))
        await eventually("one held call", lambda: gateway.held() == 1)
        gateway.kube.set_pod(QCA, pod.ports)
        assert await held == len(body)
        assert await _size(unary(body, timeout=60)) == len(body)


async def test_a_rest_body_above_the_servers_limit_is_refused_with_413(gateway: Any, pod: Any) -> None:
    gateway.kube.set_pod(QCA, pod.ports)
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url("/v2/models/qca/infer"), data=io.BytesIO(TOO_LARGE)) as answer,
    ):
        assert answer.status == 413


async def test_calls_held_for_one_model_do_not_stop_those_to_a_warm_one_on_the_same_connection(
    gateway: Any, pod: Any
) -> None:
    warm = ModelKey(namespace="demo", name="warm")
    gateway.kube.put(Watched.MODELS, model_object(warm))
    gateway.kube.set_pod(warm, pod.ports)
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        to_warm = (("atheria-model", "demo/warm"),)
        async with asyncio.timeout(20):
            while await _is_refused(unary(b"", metadata=to_warm)):  # noqa: ASYNC110 - Envoy sets no event
                await asyncio.sleep(0.02)
        to_qca = (("atheria-model", "demo/qca"),)
        held = [asyncio.ensure_future(_size(unary(bytes(1_000_000), metadata=to_qca))) for _ in range(100)]
        await eventually("100 held calls", lambda: gateway.held() == 100)
        assert await _size(unary(bytes(1_000_000), metadata=to_warm, timeout=20)) == 1_000_000
        gateway.kube.set_pod(QCA, pod.ports)
        assert await asyncio.wait_for(asyncio.gather(*held), 60) == [1_000_000] * 100


async def test_held_bodies_are_kept_by_their_callers_not_in_envoy(gateway: Any, pod: Any) -> None:
    before = await gateway.envoy_bytes()
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        held = [asyncio.ensure_future(_size(unary(bytes(4_000_000)))) for _ in range(60)]
        await eventually("60 held calls", lambda: gateway.held() == 60)
        # 240 MB are on their way.
        assert await gateway.envoy_bytes() - before < 60 * 1_000_000
        gateway.kube.set_pod(QCA, pod.ports)
        assert await asyncio.wait_for(asyncio.gather(*held), 60) == [4_000_000] * 60


async def _size(call: Any) -> int:
    return len(await call)


async def _status(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def _is_refused(call: Any) -> bool:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.NOT_FOUND
    return False
