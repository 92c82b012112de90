"""A loop that hangs makes the liveness probe fail, in words; loops that have nothing to do do not."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from atheria_operator.adapters.telemetry import PrometheusTelemetry, serve_metrics
from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.heartbeat import Heartbeat

KEY = ModelKey(namespace="demo", name="qca")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic_seconds(self) -> float:
        return self.seconds


async def test_liveness_fails_while_a_loop_is_blocked_and_only_then() -> None:
    clock: Any = Clock()
    heartbeat = Heartbeat(clock, stuck_seconds=600)
    registry = CollectorRegistry()
    PrometheusTelemetry(registry).watch_heartbeat(lambda: heartbeat.age_seconds)
    runner, port = await serve_metrics(
        port=0, registry=registry, unready=lambda: "waiting", stuck=heartbeat.stuck
    )
    blocked, begun = asyncio.Event(), asyncio.Event()

    async def loop() -> None:
        with heartbeat.round("reconcile", KEY):
            begun.set()
            await blocked.wait()

    async def ask(path: str) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    try:
        clock.seconds += 10_000
        assert await ask("/healthz") == (200, "ok\n")
        assert await ask("/readyz") == (503, "waiting\n")
        task = asyncio.create_task(loop())
        await begun.wait()
        assert (await ask("/healthz"))[0] == 200
        clock.seconds += 601
        status, words = await ask("/healthz")
        assert status == 503
        assert "the reconcile loop of demo/qca has been in one round for 601 s" in words
        assert "atheria_operator_heartbeat_age_seconds 601.0" in (await ask("/metrics"))[1]
        blocked.set()
        await task
        assert (await ask("/healthz"))[0] == 200
    finally:
        await runner.cleanup()


async def test_a_round_that_fails_is_over() -> None:
    clock: Any = Clock()
    heartbeat = Heartbeat(clock, stuck_seconds=1)
    try:
        with heartbeat.round("autoscale", KEY):
            raise ValueError
    except ValueError:
        clock.seconds += 100
    assert heartbeat.stuck() == ""
    assert heartbeat.age_seconds == 0
