"""A call that reached a pod is never sent again, unless its model says that it may be computed twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest

from atheria_local.free_ports import free_port
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually


class BreakingPod:
    """Takes an HTTP request, counts it, and breaks the connection before it answers."""

    def __init__(self) -> None:
        self.requests = 0
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def start(self) -> BreakingPod:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
            except asyncio.IncompleteReadError:
                pass
            writer.transport.abort()

        self._server = await asyncio.start_server(take, "127.0.0.1", self.port)
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


class Network:
    """The network in front of a pod's gRPC port: it can be cut, as when the pod's machine vanishes."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._pod_port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Network:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        return self

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._pod_port)
        self._writers += [writer, to_writer]
        for source, sink in ((reader, to_writer), (to_reader, writer)):
            task = asyncio.create_task(self._copy(source, sink))
            self._tasks.add(task)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

    async def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()


@pytest.fixture
async def breaking() -> AsyncIterator[BreakingPod]:
    """A running pod that breaks connections."""
    one = await BreakingPod().start()
    yield one
    await one.stop()


async def _serve(gateway: Any, ports: tuple[int, int], *, idempotent: bool) -> None:
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA, idempotent=idempotent))
    gateway.kube.set_pod(QCA, ports)
    await eventually(
        "Envoy told",
        lambda: gateway.active.world.models[QCA].is_idempotent is idempotent and gateway.active.is_settled,
    )


async def test_a_call_whose_pod_breaks_is_not_sent_again(gateway: Any, breaking: BreakingPod) -> None:
    await _serve(gateway, (breaking.port, breaking.port), idempotent=False)
    async with aiohttp.ClientSession() as session, session.get(gateway.url("/v2/models/qca")) as answer:
        assert answer.status == 503
    assert breaking.requests == 1


async def test_a_call_of_a_model_that_may_compute_twice_is_sent_again_a_few_times(
    gateway: Any, breaking: BreakingPod
) -> None:
    await _serve(gateway, (breaking.port, breaking.port), idempotent=True)
    async with aiohttp.ClientSession() as session, session.get(gateway.url("/v2/models/qca")) as answer:
        assert answer.status == 503
    # One that brings pods down must not bring down all.
    assert 2 <= breaking.requests <= 5


async def test_a_released_call_whose_pod_breaks_is_not_sent_again(
    gateway: Any, breaking: BreakingPod
) -> None:
    async with aiohttp.ClientSession() as session:
        call = asyncio.ensure_future(_status(session, gateway.url("/v2/models/qca")))
        await eventually("a held call", lambda: gateway.held() == 1)
        gateway.kube.set_pod(QCA, (breaking.port, breaking.port))
        assert await asyncio.wait_for(call, 20) == 503
    assert breaking.requests == 1


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_grpc_call_on_a_pod_that_vanishes_goes_to_another_only_when_it_may_be_computed_twice(
    gateway: Any, pod: Any, idempotent: bool
) -> None:
    first = await harness.Pod("first").start()
    first.gate = asyncio.Event()
    network = await Network(first.ports[0]).start()
    await _serve(gateway, (network.port, first.ports[1]), idempotent=idempotent)
    async with gateway.channel() as channel:
        call = asyncio.ensure_future(_code(channel.unary_unary("/t.S/Unary")(b"x", timeout=60)))
        await eventually("the call in the pod", lambda: first.running == 1)
        gateway.kube.set_pod(QCA, pod.ports)
        await eventually("the other pod in Envoy", lambda: gateway.active.is_settled)
        await network.cut()
        code = await asyncio.wait_for(call, 30)
    assert first.calls == 1
    await first.stop()
    if idempotent:
        assert (code, pod.calls) == (grpc.StatusCode.OK, 1)
    else:
        assert code is not grpc.StatusCode.OK
        assert pod.calls == 0


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return answer.status


async def _code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
