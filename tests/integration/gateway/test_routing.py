"""Which model a call reaches, and what a caller hears that names none."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from atheria_gateway.core.model import ModelKey
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually

KERR = ModelKey(namespace="demo", name="kerr")


@pytest.fixture
async def two_models(gateway: Any, pod: Any) -> Any:
    """demo/qca with a pod, and demo/kerr at zero; Envoy knows both."""
    gateway.kube.set_pod(QCA, pod.ports)
    gateway.kube.put(Watched.MODELS, harness.model_object(KERR, queue_limit=1))
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")

        async def refused() -> bool:
            try:
                await unary(b"", timeout=5)
            except grpc.aio.AioRpcError as error:
                return "demo/kerr" in (error.details() or "")
            return False

        async with asyncio.timeout(20):
            while not await refused():  # noqa: ASYNC110 - Envoy sets no event
                await asyncio.sleep(0.02)
    return gateway


async def test_a_call_that_names_no_model_is_not_found_and_told_the_header(two_models: Any) -> None:
    async with two_models.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/t.S/Unary")(b"x" * 100_000, timeout=10)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert "atheria-model" in str(caught.value.details())
        assert "demo/kerr, demo/qca" in str(caught.value.details())
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await channel.unary_unary("/t.S/Unary")(
                b"x", metadata=(("atheria-model", "demo/other"),), timeout=10
            )
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    async with aiohttp.ClientSession() as session, session.get(two_models.url("/v2")) as answer:
        assert answer.status == 404
        assert answer.content_type == "application/json"
        assert "atheria-model" in (await answer.json())["error"]


async def test_the_header_the_authority_and_the_rest_path_pick_the_model(two_models: Any) -> None:
    async with two_models.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        assert await unary(b"h", metadata=(("atheria-model", "demo/qca"),), timeout=10) == b"h"
    for authority in (
        "qca.demo",
        "qca.demo:8001",
        "qca.demo.svc:8001",
        "qca.demo.svc.cluster.local:8001",
        "qca.demo.svc.another.domain:8001",
        "qca.demo.svc.cluster.local.",
    ):
        async with two_models.channel(authority) as channel:
            assert await channel.unary_unary("/t.S/Unary")(b"a", timeout=10) == b"a"
    async with aiohttp.ClientSession() as session:
        async with session.get(two_models.url("/v2/models/qca/ready")) as answer:
            assert (answer.status, (await answer.json())["path"]) == (200, "/v2/models/qca/ready")
        async with session.get(two_models.url("/v2/models/nobody/ready")) as answer:
            assert answer.status == 404
        async with session.get(two_models.url("/x"), headers={"atheria-model": "demo/qca"}) as answer:
            assert answer.status == 200


async def test_a_websocket_reaches_the_pod(two_models: Any) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(two_models.url("/v2/models/qca/stream")) as ws,
    ):
        await ws.send_str("hello")
        assert (await ws.receive(timeout=10)).data == "hello"


async def test_more_calls_than_a_model_may_hold_are_refused_as_exhausted(two_models: Any) -> None:
    async with two_models.channel("kerr.demo") as channel:
        unary = channel.unary_unary("/t.S/Unary")
        first = unary(b"1")
        await eventually("one held call", lambda: two_models.held(KERR) == 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(b"2", timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "maxQueueDepth" in str(caught.value.details())
        two_models.kube.delete(Watched.MODELS, "demo", "kerr")
        with pytest.raises(grpc.aio.AioRpcError) as gone:
            await first
        assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_gateway_answers_for_its_own_health(two_models: Any) -> None:
    async with two_models.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with aiohttp.ClientSession() as session:
        async with session.get(two_models.url("/healthz")) as response:
            assert response.status == 200
        leaving = asyncio.create_task(two_models.active.drain())
        try:

            async def is_out() -> bool:
                async with session.get(two_models.url("/healthz")) as response:
                    return bool(response.status == 503)

            async with asyncio.timeout(60):
                while not await is_out():  # noqa: ASYNC110 - Envoy sets no event
                    await asyncio.sleep(0.02)
        finally:
            leaving.cancel()
