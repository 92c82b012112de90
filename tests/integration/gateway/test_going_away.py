"""Streams that a pod refuses, alone (REFUSED_STREAM) or by going away (GOAWAY), are sent again; those that it has begun are not."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually
from tests.integration.gateway.http2_pod import INTERNAL_ERROR, REFUSED_STREAM, Connection, Http2Pod

CALLS = 6


class Away:
    """Keeps the calls of its first connection until there are CALLS, has begun the first `begun` and goes away; answers all others."""

    def __init__(self, begun: int) -> None:
        self.pod = Http2Pod(self._take)
        self.begun = begun
        self.computed = 0
        self.refused = 0
        self.breaks = False
        """Ends the connection without the answers that it owes."""

    def _take(self, connection: Connection, stream: int) -> None:
        if connection.number > 1:
            self.computed += 1
            connection.answer(stream)
            return
        if len(connection.streams) < CALLS:
            return
        connection.go_away(connection.streams[self.begun - 1] if self.begun else 0)
        self.computed += self.begun
        self.refused += CALLS - self.begun
        if self.breaks:
            connection.close()
            return
        for one in connection.streams[: self.begun]:
            connection.answer(one)


class Refusing:
    """Resets the first try of the first CALLS calls with an error code, answers all others."""

    def __init__(self, code: int) -> None:
        self.pod = Http2Pod(self._take)
        self.tries = 0
        self.computed = 0
        self._code = code

    def _take(self, connection: Connection, stream: int) -> None:
        self.tries += 1
        if self.tries <= CALLS:
            connection.refuse(stream, self._code)
            return
        self.computed += 1
        connection.answer(stream)


@pytest.fixture(params=["warm", "held"])
async def route(gateway: Any, request: pytest.FixtureRequest) -> Any:
    """Sends CALLS calls to a pod that Envoy knows already, or that appears when all of them are held; returns their codes."""

    async def send(pod: Http2Pod, *, idempotent: bool = False) -> list[grpc.StatusCode]:
        gateway.kube.put(Watched.MODELS, harness.model_object(QCA, idempotent=idempotent))
        await eventually("the model", lambda: gateway.active.world.models[QCA].is_idempotent is idempotent)
        if request.param == "warm":
            gateway.kube.set_pod(QCA, pod.ports)
        await eventually(
            "Envoy told",
            lambda: (
                bool(gateway.active.world.ready_of(QCA)) is (request.param == "warm")
                and gateway.active.is_settled
            ),
        )
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            calls = [asyncio.ensure_future(_code(unary(b"x", timeout=60))) for _ in range(CALLS)]
            if request.param == "held":
                await eventually("all held", lambda: gateway.held() == CALLS)
                gateway.kube.set_pod(QCA, pod.ports)
            return await asyncio.wait_for(asyncio.gather(*calls), 60)

    return send


@pytest.mark.parametrize("begun", [0, 1, CALLS - 1])
async def test_what_a_pod_that_goes_away_has_not_begun_is_sent_again_and_all_are_computed_once(
    route: Any, begun: int
) -> None:
    away = Away(begun)
    await away.pod.start()
    try:
        assert await route(away.pod) == [grpc.StatusCode.OK] * CALLS
        assert away.refused == CALLS - begun
        assert away.computed == CALLS
    finally:
        await away.pod.stop()


@pytest.mark.parametrize("idempotent", [False, True])
async def test_what_it_has_begun_and_never_answers_is_sent_again_only_if_it_may_be_computed_twice(
    route: Any, idempotent: bool
) -> None:
    away = Away(begun=2)
    away.breaks = True
    await away.pod.start()
    try:
        codes = await route(away.pod, idempotent=idempotent)
        failed = 0 if idempotent else 2
        assert codes.count(grpc.StatusCode.OK) == CALLS - failed
        assert codes.count(grpc.StatusCode.UNAVAILABLE) == failed
        assert away.computed == CALLS + (2 if idempotent else 0)
    finally:
        await away.pod.stop()


async def test_a_refused_stream_is_sent_again(route: Any) -> None:
    refusing = Refusing(REFUSED_STREAM)
    await refusing.pod.start()
    try:
        assert await route(refusing.pod) == [grpc.StatusCode.OK] * CALLS
        assert refusing.tries == 2 * CALLS
        assert refusing.computed == CALLS
    finally:
        await refusing.pod.stop()


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_stream_that_is_reset_for_another_reason_is_sent_again_only_if_it_may_be_computed_twice(
    route: Any, idempotent: bool
) -> None:
    refusing = Refusing(INTERNAL_ERROR)
    await refusing.pod.start()
    try:
        codes = await route(refusing.pod, idempotent=idempotent)
        if idempotent:
            assert codes == [grpc.StatusCode.OK] * CALLS
            assert refusing.computed == CALLS
        else:
            assert grpc.StatusCode.OK not in codes
            assert refusing.tries == CALLS
    finally:
        await refusing.pod.stop()


async def _code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
