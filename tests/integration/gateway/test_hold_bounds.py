"""Held calls are bounded by number, by bytes and by caller; ten thousand of them fit, and each refusal has its reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually

MANY = 10_000
CHANNELS = 10


async def _started(directory: Path, queue_limit: int, **settings: Any) -> Any:
    gateway = harness.Gateway(directory, **settings)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA, queue_limit=queue_limit, batch_size=64))
    await gateway.start_envoy()
    await gateway.start_activator()
    await gateway.wait_until_routed()
    return gateway


@pytest.fixture
async def large(run_directory: Path) -> AsyncIterator[Any]:
    """A gateway for ten thousand held calls of one caller."""
    gateway = await _started(
        run_directory, MANY, hold_limit=MANY, hold_bytes=2**31, hold_caller_share=1.0, hold_s=300.0
    )
    yield gateway
    await gateway.stop()


@pytest.mark.timeout(480)
async def test_ten_thousand_calls_are_held_in_bounded_memory_and_all_are_answered(
    large: Any, pod: Any
) -> None:
    before = await large.envoy_bytes()
    channels = [large.channel() for _ in range(CHANNELS)]
    unaries = [channel.unary_unary("/t.S/Unary") for channel in channels]
    calls = [asyncio.ensure_future(_answer(unaries[number % CHANNELS](b"x" * 100))) for number in range(MANY)]
    await eventually("all held", lambda: large.held() == MANY, 180)
    # Two streams and a question to the activator each; far more would be a leak.
    assert (await large.envoy_bytes() - before) / MANY < 128 * 1024
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unaries[0](b"one more", timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"the gateway holds {MANY} calls, allowed are {MANY}" in str(caught.value.details())
    for call in calls[: MANY // 2]:
        call.cancel()
    await eventually("places of cancelled calls free", lambda: large.held() == MANY // 2, 60)
    large.kube.set_pod(QCA, pod.ports)
    answers = await asyncio.wait_for(asyncio.gather(*calls[MANY // 2 :]), 120)
    assert answers == [b"x" * 100] * (MANY // 2)
    assert large.held() == 0
    # Measured anew within a second or two.
    await eventually("the bytes given back", lambda: large.active.holds.bytes_in_use < 64 * 1024 * 1024)
    for channel in channels:
        await channel.close()


async def test_callers_that_give_up_in_masses_do_not_end_the_calls_of_others(
    run_directory: Path, pod: Any
) -> None:
    gateway = await _started(run_directory, 2000, hold_caller_share=1.0)
    try:
        async with gateway.channel() as patient, gateway.channel() as hasty:
            stay = [
                asyncio.ensure_future(_answer(patient.unary_unary("/t.S/Unary")(b"x"))) for _ in range(100)
            ]
            leave = [hasty.unary_unary("/t.S/Unary")(b"x") for _ in range(1200)]
            await eventually("all held", lambda: gateway.held() == 1300, 60)
            for call in leave:
                call.cancel()
            await eventually("the others held", lambda: gateway.held() == 100)
            gateway.kube.set_pod(QCA, pod.ports)
            assert await asyncio.wait_for(asyncio.gather(*stay), 30) == [b"x"] * 100
    finally:
        await gateway.stop()


async def test_calls_are_refused_when_bodies_fill_envoy_and_not_before(run_directory: Path, pod: Any) -> None:
    gateway = await _started(run_directory, 512, hold_bytes=40 * 1024 * 1024, hold_caller_share=1.0)
    try:
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            # Bodies count from what Envoy has while nothing is held: with one call held, that is settled.
            calls = [asyncio.ensure_future(_code(unary(b"small")))]
            await eventually("one held call", lambda: gateway.held() == 1, 60)

            def is_refused() -> bool:
                return any(call.done() for call in calls)

            def is_seen() -> bool:
                here = gateway.active.holds.measured_bytes
                return gateway.held() == len(calls) and here > (len(calls) - 1) * 400 * 1024

            # A few at a time: what is not measured yet does not count.
            while not is_refused():
                assert len(calls) < 120
                calls += [asyncio.ensure_future(_code(unary(bytes(2_000_000)))) for _ in range(12)]
                await eventually("all held and measured, or a refusal", lambda: is_refused() or is_seen(), 60)
            # The first dozens fit.
            assert gateway.held() * 0.9 * 1024 * 1024 > 30 * 1024 * 1024
            gateway.kube.set_pod(QCA, pod.ports)
            ended = await asyncio.wait_for(asyncio.gather(*calls), 60)
            assert {code for code, _ in ended} == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
            assert all(not details or "gateway.hold.maxBytes" in details for _, details in ended)
            assert len(await unary(bytes(2_000_000), timeout=30)) == 2_000_000
    finally:
        await gateway.stop()


async def test_one_caller_cannot_take_all_places_of_a_model(run_directory: Path, pod: Any) -> None:
    gateway = await _started(run_directory, 4, hold_caller_share=0.5)
    try:
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            held = [asyncio.ensure_future(_answer(unary(b"1"))) for _ in range(2)]
            await eventually("two held calls", lambda: gateway.held() == 2)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                # What a caller says of itself counts for nothing.
                await unary(
                    b"3",
                    metadata=(("x-atheria-caller", "key:other"), ("x-forwarded-for", "6.6.6.6")),
                    timeout=20,
                )
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "allowed to one caller are 2 of 4" in str(caught.value.details())
            gateway.kube.set_pod(QCA, pod.ports)
            assert await asyncio.wait_for(asyncio.gather(*held), 20) == [b"1"] * 2
    finally:
        await gateway.stop()


async def test_envoy_refuses_and_resets_calls_before_its_memory_ends(run_directory: Path, pod: Any) -> None:
    limit = 128 * 1024 * 1024
    gateway = await _started(run_directory, 4096, envoy_memory_bytes=limit, hold_caller_share=1.0)
    try:
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            small = [asyncio.ensure_future(_code(unary(b"small"))) for _ in range(10)]
            await eventually("the small calls held", lambda: gateway.held() == 10, 60)
            # 400 of up to 0.9 MiB are far more than there is, and all come before a first measurement.
            calls = [asyncio.ensure_future(_code(unary(bytes(2_000_000)))) for _ in range(400)]
            while not any(call.done() for call in calls):
                assert await gateway.envoy_bytes() < limit
                await asyncio.sleep(0.05)
            assert await gateway.envoy_bytes() < limit
            gateway.kube.set_pod(QCA, pod.ports)
            async with asyncio.timeout(90):
                outcomes = [await call for call in calls]
                survivors = [await call for call in small]
            codes = {code for code, _ in outcomes}
            # The largest are reset, in the worst case all of them; the small ones never.
            assert {code for code, _ in survivors} == {grpc.StatusCode.OK}
            assert codes - {grpc.StatusCode.OK} <= {
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.INTERNAL,
            }
            assert await gateway.envoy_bytes() < limit
    finally:
        await gateway.stop()


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer


async def _code(call: Any) -> tuple[grpc.StatusCode, str]:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), str(error.details())
    return grpc.StatusCode.OK, ""
