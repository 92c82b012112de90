"""A server that is not ours behind the gateway: a process that speaks vLLM's HTTP surface is held for, woken, streamed and counted."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atheria_local.free_ports import free_port
from atheria_operator.api.model import ScalingMetric, ScalingPolicy
from atheria_operator.domain.scaling.decide import decide
from atheria_operator.domain.scaling.deletion_cost import calls_in_metrics
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState
from tests.integration.gateway.harness import QCA, WAIT_S, eventually

MAX_SEQS = 2
SERIES = ("vllm:num_requests_running", "vllm:num_requests_waiting")
HEADERS = {"atheria-model": str(QCA)}


class StandIn:
    """The process, and the ports that its pod would have: nothing listens on the one for gRPC."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.ports = (free_port(), free_port())
        self._session = session

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs, and listens."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("vllm_stand_in.py")),
            str(self.ports[1]),
            str(MAX_SEQS),
        )
        try:
            await until("the stand-in listens", self._is_healthy)
            yield
        finally:
            process.kill()
            await process.wait()

    async def _is_healthy(self) -> bool:
        try:
            async with self._session.get(self._url("/health")) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def permit(self, tokens: int) -> None:
        """So many tokens more may be produced."""
        async with self._session.post(self._url(f"/stand-in/permits?n={tokens}")) as answer:
            assert answer.status == 200

    async def metrics(self) -> str:
        async with self._session.get(self._url("/metrics")) as answer:
            return await answer.text()

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.ports[1]}{path}"


async def until(what: str, ask: Callable[[], Awaitable[bool]]) -> None:
    """Wait until an answer is yes, or fail with what was awaited."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not await ask():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S:g} s: {what}") from None


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2 * WAIT_S)) as found:
        yield found


@pytest.fixture
async def engine(session: aiohttp.ClientSession) -> AsyncIterator[StandIn]:
    """A running stand-in."""
    one = StandIn(session)
    async with one.running():
        yield one


def complete(session: aiohttp.ClientSession, gateway: Any, prompt: str, tokens: int, **more: Any) -> Any:
    body = {"model": "stand-in", "prompt": prompt, "max_tokens": tokens, **more}
    return session.post(gateway.url("/v1/completions"), json=body, headers=HEADERS)


async def next_event(answer: aiohttp.ClientResponse) -> str:
    """The data of the next server-sent event."""
    line = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), WAIT_S)
    return line.decode().removeprefix("data: ").strip()


async def test_a_streamed_completion_is_held_at_zero_and_comes_whole_token_by_token(
    gateway: Any, engine: StandIn, session: aiohttp.ClientSession
) -> None:
    call = asyncio.ensure_future(complete(session, gateway, "tok", 5, stream=True).__aenter__())
    await eventually("a held call", lambda: gateway.held() == 1)
    await eventually("a wake", lambda: bool(gateway.kube.patches))
    gateway.kube.set_pod(QCA, engine.ports)
    answer = await asyncio.wait_for(call, WAIT_S)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "atheria-held-seconds" in answer.headers
    texts = []
    for _ in range(5):
        # The next token is not made before this one has come: nothing on the way gathers them.
        await engine.permit(1)
        texts.append(json.loads(await next_event(answer))["choices"][0]["text"])
    assert texts == [f" tok{index}" for index in range(5)]
    assert await next_event(answer) == "[DONE]"
    assert await asyncio.wait_for(answer.read(), WAIT_S) == b""
    async with session.get(gateway.url("/v1/models"), headers={"host": "qca.demo.svc"}) as models:
        assert (await models.json())["data"][0]["id"] == "stand-in"


async def test_the_autoscaler_sees_what_waits_in_the_engines_own_queue(
    gateway: Any, engine: StandIn, session: aiohttp.ClientSession
) -> None:
    gateway.kube.set_pod(QCA, engine.ports)
    calls = [asyncio.ensure_future(_text(complete(session, gateway, f"c{index}-", 2))) for index in range(9)]

    def reported() -> Any:
        last = gateway.demands.reports[-1] if gateway.demands.reports else ()
        return next((line for line in last if line.model == QCA), None)

    def sees_all() -> bool:
        line = reported()
        return line is not None and line.held + line.in_flight == 9

    async def is_full() -> bool:
        return calls_in_metrics(await engine.metrics(), SERIES) == 9

    await until("nine calls in the engine", is_full)
    assert calls_in_metrics(await engine.metrics(), SERIES[:1]) == MAX_SEQS
    await eventually("a report of all nine", sees_all)
    line = reported()
    demand = Demand(
        held=line.held, in_flight=line.in_flight, arrivals_total=line.arrivals_total, is_complete=True
    )
    seen = Observation(requested_replicas=1, actual_replicas=1, ready_replicas=1, demand=demand)
    policy = ScalingPolicy(
        max_replicas=8, metric=ScalingMetric.CONCURRENCY, target_calls=3, target_utilization=1.0
    )
    state, decision = ScalingState(), None
    for second in range(30):
        state, decision = decide(state, seen, policy, 100.0 + second)
    assert decision is not None
    assert decision.replicas == 3, decision
    await engine.permit(9 * 2)
    texts = await asyncio.wait_for(asyncio.gather(*calls), WAIT_S)
    assert sorted(texts) == [f" c{index}-0 c{index}-1" for index in range(9)]


async def test_a_call_that_found_the_rest_port_closed_goes_on_once_it_is_open_without_any_grpc_port(
    gateway: Any, session: aiohttp.ClientSession
) -> None:
    engine = StandIn(session)
    gateway.kube.set_pod(QCA, engine.ports)
    call = asyncio.ensure_future(_text(complete(session, gateway, "x", 1)))
    await eventually("the call held for a pod that takes no connection", lambda: gateway.held() == 1)
    async with engine.running():
        await engine.permit(1)
        assert await asyncio.wait_for(call, WAIT_S) == " x0"


async def _text(request: Any) -> str:
    async with request as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["choices"][0]["text"])
