"""A backlog goes to the pods in step with what they can take, and full pods bring the hold back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from atheria_gateway.core import pace
from atheria_gateway.core.pace import BATCHES_PER_WORKER
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually

BATCH = 2
CAPACITY = BATCH * BATCHES_PER_WORKER


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that wait at a gate are waited for, however slow the machine is: else another portion would be released."""
    monkeypatch.setattr(pace, "PATIENCE_S", 3600.0)


@pytest.fixture
async def small(gateway: Any) -> Any:
    """A gateway whose model computes two calls at once."""
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA, batch_size=BATCH))
    await eventually("the batch size", lambda: gateway.active.world.models[QCA].batch_size == BATCH)
    return gateway


@pytest.mark.usefixtures("patient")
async def test_the_first_pod_gets_no_more_than_it_can_take_and_the_second_its_part(small: Any) -> None:
    first, second = await harness.Pod("first").start(), await harness.Pod("second").start()
    first.gate = second.gate = gate = asyncio.Event()
    try:
        async with small.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            calls = [asyncio.ensure_future(_answer(unary(b"x"))) for _ in range(40)]
            await eventually("all held", lambda: small.held() == 40)
            small.kube.add_pod(QCA, first.ports, 1)
            await eventually("a full first pod", lambda: first.running == CAPACITY)
            await eventually("the others held", lambda: small.held() == 40 - CAPACITY)
            small.kube.add_pod(QCA, second.ports, 2)
            await eventually("as many more", lambda: first.running + second.running == 2 * CAPACITY)
            assert (first.running, second.running) == (CAPACITY, CAPACITY)
            gate.set()
            assert await asyncio.wait_for(asyncio.gather(*calls), 30) == [b"x"] * 40
            assert max(first.most_running, second.most_running) <= 2 * CAPACITY
            assert first.calls + second.calls == 40
    finally:
        gate.set()
        await first.stop()
        await second.stop()


@pytest.mark.usefixtures("patient")
async def test_new_calls_wait_behind_the_backlog_until_it_is_gone_then_pass_directly(
    small: Any, pod: Any
) -> None:
    pod.gate = asyncio.Event()
    async with small.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        calls = [asyncio.ensure_future(_answer(unary(b"old"))) for _ in range(30)]
        await eventually("all held", lambda: small.held() == 30)
        small.kube.set_pod(QCA, pod.ports)
        await eventually("a full pod", lambda: pod.running == CAPACITY)
        await eventually("Envoy told", lambda: small.active.is_settled)
        late = asyncio.ensure_future(_answer(unary(b"new")))
        await eventually("the new call held too", lambda: small.held() == 31 - CAPACITY)
        pod.gate.set()
        assert await asyncio.wait_for(asyncio.gather(*calls, late), 30) == [b"old"] * 30 + [b"new"]
        await eventually(
            "the hold out of the way", lambda: not small.active._detained and small.active.is_settled
        )
        await unary(b"direct", timeout=20)
        assert "atheria-held-seconds" not in dict(await _initial(unary(b"direct", timeout=20)))


async def test_a_long_stream_does_not_stop_the_calls_behind_it(small: Any, pod: Any) -> None:
    small.kube.put(Watched.MODELS, harness.model_object(QCA, batch_size=1))
    await eventually("the batch size", lambda: small.active.world.models[QCA].batch_size == 1)
    async with small.channel() as channel:
        streams = [channel.stream_stream("/t.S/Bidi")() for _ in range(BATCHES_PER_WORKER)]
        for stream in streams:
            await stream.write(b"one")
        await eventually("held streams", lambda: small.held() == BATCHES_PER_WORKER)
        call = asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"behind")))
        await eventually("a call behind them", lambda: small.held() == BATCHES_PER_WORKER + 1)
        small.kube.set_pod(QCA, pod.ports)
        for stream in streams:
            assert await asyncio.wait_for(stream.read(), 20) == b"one"
        assert await asyncio.wait_for(call, 30) == b"behind"
        for stream in streams:
            await stream.done_writing()


@pytest.mark.usefixtures("patient")
async def test_full_pods_bring_the_hold_back_and_no_call_is_lost(run_directory: Path, pod: Any) -> None:
    gateway = harness.Gateway(run_directory, hold_s=60.0, hold_caller_share=1.0)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA, queue_limit=40, batch_size=BATCH))
    gateway.kube.set_pod(QCA, pod.ports)
    pod.gate = asyncio.Event()
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        await gateway.wait_until_routed()
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            calls = [asyncio.ensure_future(_answer(unary(b"x"))) for _ in range(36)]
            await eventually("a nearly full pod", lambda: pod.running == 36)
            await eventually(
                "the hold back", lambda: QCA in gateway.active._detained and gateway.active.is_settled
            )
            more = [asyncio.ensure_future(_answer(unary(b"y"))) for _ in range(20)]
            await eventually(
                "the excess held",
                lambda: (gateway.held(), pod.running) == (20 - CAPACITY, 36 + CAPACITY),
            )
            # Another pod takes the excess on, while the first one is still full.
            second = await harness.Pod("second").start()
            gateway.kube.add_pod(QCA, second.ports, 2)
            await eventually("the excess released", lambda: second.calls + pod.calls == 56)
            pod.gate.set()
            answers = await asyncio.wait_for(asyncio.gather(*calls, *more), 30)
            assert answers == [b"x"] * 36 + [b"y"] * 20
            await eventually(
                "the hold out of the way", lambda: not gateway.active._detained and gateway.active.is_settled
            )
            await second.stop()
    finally:
        await gateway.stop()


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer


async def _initial(call: Any) -> Any:
    metadata = await call.initial_metadata()
    await call
    return metadata
