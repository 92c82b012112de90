"""Models whose pods sleep at zero: a held call wakes one and goes on as soon as the pod itself says that it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime import activator
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually


class _Standby:
    """Pods that wake when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Endpoint] = []
        self.answers: dict[int, asyncio.Future[bool]] = {}
        """By gRPC port."""

    async def wake(self, endpoint: Endpoint, model: ModelKey) -> bool:
        assert model == QCA
        self.asked.append(endpoint)
        return await asyncio.shield(self.answer(endpoint.grpc_port))

    def answer(self, port: int) -> asyncio.Future[bool]:
        return self.answers.setdefault(port, asyncio.get_running_loop().create_future())


def unready(ports: tuple[int, int], suffix: str) -> dict[str, Any]:
    body = harness.slice_object(QCA, ports, suffix=suffix)
    body["endpoints"][0]["conditions"]["ready"] = False
    return dict(body)


@pytest.fixture
async def sleeping(run_directory: Path, pod: Any) -> AsyncIterator[Any]:
    """A gateway of a model whose one pod is not ready."""
    one = harness.Gateway(run_directory, hold_s=60.0, wake_retry_s=0.1)
    one.standby = _Standby()
    model = harness.model_object(QCA)
    model["spec"]["scaling"] = {"scaleToZero": {"mode": "sleep"}}
    model["status"]["conditions"] = [{"type": "Active", "status": "False", "reason": names.REASON_ASLEEP}]
    # A start would take too long for any call.
    model["status"]["starts"] = [{"totalSeconds": 600.0}]
    one.kube.put(Watched.MODELS, model)
    one.kube.put(Watched.SLICES, unready(pod.ports, "1"))
    await one.start_envoy()
    await one.start_activator()
    await one.wait_until_routed()
    yield one
    await one.stop()


async def test_a_held_call_goes_on_when_the_pod_says_that_it_is_awake_though_no_probe_has_seen_it(
    sleeping: Any, pod: Any
) -> None:
    async with sleeping.channel() as channel:
        call = channel.unary_unary("/t.S/Unary")(b"x", timeout=60)
        await eventually("an order to wake", lambda: bool(sleeping.standby.asked))
        assert not call.done()
        assert sleeping.kube.patches, "the autoscaler learns of it by the number that is asked for"
        sleeping.standby.answer(pod.ports[0]).set_result(True)
        assert await asyncio.wait_for(call, 60) == b"x"
    assert len(sleeping.standby.asked) == 1


async def test_a_pod_that_does_not_wake_gets_no_calls_and_is_asked_again(sleeping: Any, pod: Any) -> None:
    standby = sleeping.standby
    async with sleeping.channel() as channel:
        call = channel.unary_unary("/t.S/Unary")(b"x", timeout=60)
        await eventually("an order to wake", lambda: bool(standby.asked))
        refused = standby.answers.pop(pod.ports[0])
        refused.set_result(False)
        await eventually("another order", lambda: len(standby.asked) == 2)
        assert pod.calls == 0
        sleeping.kube.put(Watched.SLICES, harness.slice_object(QCA, pod.ports, suffix="1"))
        assert await asyncio.wait_for(call, 60) == b"x"


async def test_a_pod_that_does_not_answer_does_not_keep_another_from_being_woken(
    sleeping: Any, pod: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activator, "NEXT_POD_S", 0.01)
    # Sorted first by its port; nobody listens there.
    sleeping.kube.put(Watched.SLICES, unready((1, 2), "0"))
    sleeping.standby.answer(pod.ports[0]).set_result(True)
    async with sleeping.channel() as channel:
        call = channel.unary_unary("/t.S/Unary")(b"x", timeout=60)
        assert await asyncio.wait_for(call, 60) == b"x"
    assert {endpoint.grpc_port for endpoint in sleeping.standby.asked} == {1, pod.ports[0]}
