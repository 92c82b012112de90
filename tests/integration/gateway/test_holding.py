"""Calls that come while a model is at zero are held in Envoy, and none is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from atheria_contract import names
from atheria_gateway.xds.check_headers import HeldCall
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, ScaleTarget, Watched, eventually


async def test_calls_held_at_zero_go_on_when_a_pod_is_ready(gateway: Any, pod: Any) -> None:
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        calls = [asyncio.ensure_future(_answer(unary(b"x" * 200_000))) for _ in range(20)]
        stream = channel.stream_stream("/t.S/Bidi")()
        await stream.write(b"one")
        await eventually("21 held calls", lambda: gateway.held() == 21)
        assert {target for target, _ in gateway.kube.patches} == {ScaleTarget.MODEL, ScaleTarget.DEPLOYMENT}
        await eventually(
            "a report of held calls",
            lambda: any(line.held for report in gateway.demands.reports for line in report),
        )
        gateway.kube.set_pod(QCA, pod.ports)
        assert all(len(answer) == 200_000 for answer in await asyncio.wait_for(asyncio.gather(*calls), 20))
        assert await asyncio.wait_for(stream.read(), 10) == b"one"
        await stream.write(b"two")
        assert await asyncio.wait_for(stream.read(), 10) == b"two"
        await stream.done_writing()
        await eventually("no held calls", lambda: gateway.held() == 0)
        assert "x-atheria-target" not in pod.metadata[0]


async def test_a_rest_call_is_held_and_released(gateway: Any, pod: Any) -> None:
    async with aiohttp.ClientSession() as session:
        call = asyncio.ensure_future(_post(session, gateway.url("/v2/models/qca/infer"), b"y" * 1_000_000))
        await eventually("one held call", lambda: gateway.held() == 1)
        gateway.kube.set_pod(QCA, pod.ports)
        status, body = await asyncio.wait_for(call, 20)
        assert (status, body["bytes"]) == (200, 1_000_000)


async def test_a_cancelled_call_frees_its_place(gateway: Any) -> None:
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        call = unary(b"x")
        task = asyncio.ensure_future(_answer(call))
        await eventually("one held call", lambda: gateway.held() == 1)
        call.cancel()
        await asyncio.wait((task,), timeout=5)
        await eventually("no held call", lambda: gateway.held() == 0)


async def test_no_call_fails_while_the_model_goes_to_zero_and_back_five_times(gateway: Any, pod: Any) -> None:
    answers = 0
    failures: list[str] = []
    stop = False

    async def caller(unary: Any) -> None:
        nonlocal answers
        while not stop:
            try:
                await unary(b"z" * 1000)
                answers += 1
            except grpc.aio.AioRpcError as error:
                failures.append(f"{error.code()} {error.details()}")

    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        callers = [asyncio.ensure_future(caller(unary)) for _ in range(8)]
        for _ in range(5):
            gateway.kube.set_pod(QCA, pod.ports)
            enough = answers + 40
            await eventually("calls served", lambda enough=enough: answers >= enough)
            gateway.kube.set_pod(QCA, None)
            await eventually("calls held", lambda: gateway.held() >= 1)
        gateway.kube.set_pod(QCA, pod.ports)
        enough = answers + 40
        await eventually("calls served", lambda: answers >= enough)
        stop = True
        await asyncio.wait_for(asyncio.gather(*callers), 20)
    assert failures == []
    assert answers >= 200


async def test_when_the_last_pod_vanishes_before_kubernetes_says_so_calls_wait_for_the_next(
    gateway: Any,
) -> None:
    first = await harness.Pod("first").start()
    gateway.kube.set_pod(QCA, first.ports)
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        assert await asyncio.wait_for(_answer(unary(b"1")), 20) == b"1"
        await first.stop()
        calls = [asyncio.ensure_future(_answer(unary(b"2"))) for _ in range(10)]
        await eventually("held after a failed connection", lambda: gateway.held() == 10)
        gateway.kube.set_pod(QCA, None)
        second = await harness.Pod("second").start()
        gateway.kube.set_pod(QCA, second.ports)
        assert await asyncio.wait_for(asyncio.gather(*calls), 20) == [b"2"] * 10
        await second.stop()


async def test_calls_that_a_draining_pod_refuses_go_to_its_successor(gateway: Any, pod: Any) -> None:
    gateway.kube.set_pod(QCA, pod.ports)
    async with gateway.channel() as channel, aiohttp.ClientSession() as session:
        unary = channel.unary_unary("/t.S/Unary")
        assert await asyncio.wait_for(_answer(unary(b"1")), 20) == b"1"
        pod.is_draining = True
        calls = [asyncio.ensure_future(_answer(unary(b"2"))) for _ in range(10)]
        rest = asyncio.ensure_future(_post(session, gateway.url("/v2/models/qca/infer"), b"y" * 1000))
        await eventually("refusals", lambda: pod.refusals >= 11)
        gateway.kube.set_pod(QCA, None)
        successor = await harness.Pod("successor").start()
        gateway.kube.set_pod(QCA, successor.ports)
        assert await asyncio.wait_for(asyncio.gather(*calls), 20) == [b"2"] * 10
        status, body = await asyncio.wait_for(rest, 20)
        assert (status, body["pod"]) == (200, "successor")
        await successor.stop()


async def test_a_wake_in_two_steps_counts_once(run_directory: Path) -> None:
    gateway = harness.Gateway(run_directory, wake_retry_s=0.05)
    body = harness.model_object(QCA)
    known, body["status"] = body["status"], {}
    gateway.kube.put(Watched.MODELS, body)

    def asked_for(_: Any) -> None:
        # The operator's status, which names the Deployment, comes only now.
        gateway.kube.put(Watched.MODELS, {**harness.model_object(QCA, replicas=1), "status": known})

    gateway.kube.on_scale = asked_for
    calls: list[asyncio.Task[Any]] = []
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        calls.append(asyncio.create_task(gateway.active.hold(HeldCall(model=QCA, http=False))))
        steps = [(ScaleTarget.MODEL, QCA), (ScaleTarget.DEPLOYMENT, replace(QCA, name="qca-abc123"))]
        await eventually("both steps", lambda: gateway.kube.patches[:2] == steps)
        await asyncio.sleep(0)
        about = {"namespace": "demo", "model": "qca"}
        assert gateway.measures.registry.get_sample_value(names.METRIC_GATEWAY_WAKES, about) == 1
    finally:
        for call in calls:
            call.cancel()
        await gateway.stop()


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[int, Any]:
    async with session.post(url, data=body) as answer:
        return answer.status, await answer.json()
