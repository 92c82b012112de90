"""The activator's own process, Envoy and a real API server: a call at zero wakes the model and is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from atheria_contract import names
from atheria_gateway.core.model import ModelKey
from atheria_local.control_plane import ControlPlane
from tests.integration.gateway import harness
from tests.integration.gateway.harness import eventually
from tests.integration.gateway.real_cluster import (
    GATEWAY_POD_ADDRESS,
    ActivatorProcess,
    Cluster,
    Sink,
    own_address,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """An API server with the chart's CRD and RBAC and a gateway pod."""
    with ControlPlane() as plane:
        one = Cluster(plane)
        one.install()
        one.add_gateway_pod()
        yield one


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A running demand sink."""
    one = Sink()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def backend() -> AsyncIterator[Any]:
    """A pod on an address that an EndpointSlice may carry."""
    one = await harness.Pod(address=own_address()).start()
    yield one
    await one.stop()


@pytest.fixture
async def envoy(run_directory: Path) -> AsyncIterator[Any]:
    """A running Envoy that has no activator yet."""
    one = harness.Gateway(run_directory)
    await one.start_envoy()
    yield one
    await one.stop()


@pytest.fixture
async def activator(
    cluster: Cluster, envoy: Any, sink: Sink, tmp_path: Path
) -> AsyncIterator[ActivatorProcess]:
    """The activator's process, ready."""
    kubeconfig = cluster.kubeconfig_of_the_gateway(tmp_path / "kubeconfig")
    one = ActivatorProcess(envoy.directory, kubeconfig, sink)
    await one.start()
    try:
        await envoy.wait_until_routed()
        yield one
    finally:
        await one.kill()
    assert "Traceback" not in one.log
    assert "Envoy refused" not in one.log


async def _eventually_true(what: str, ask: Any) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(ask):  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.05)


async def _add_model(cluster: Cluster, envoy: Any, name: str) -> None:
    """And wait until it can be called."""
    cluster.add_model(name)
    await envoy.wait_until_known(ModelKey(namespace="demo", name=name))


async def _text(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_call_at_zero_wakes_the_model_and_is_answered(
    cluster: Cluster, envoy: Any, activator: ActivatorProcess, sink: Sink, backend: Any
) -> None:
    await _add_model(cluster, envoy, "echo")
    async with envoy.channel("echo.demo.svc.cluster.local:8001") as channel:
        unary = channel.unary_unary("/t.S/Unary")
        call = asyncio.ensure_future(_answer(unary(b"hello", wait_for_ready=True)))
        await _eventually_true("the model woken", lambda: cluster.replicas(names.MODEL_PLURAL, "echo") == 1)
        await _eventually_true(
            "the Deployment woken", lambda: cluster.replicas("deployment", "echo-abc12345") == 1
        )
        await eventually("a report of the held call", lambda: sink.has_held("echo"))
        assert not call.done()
        cluster.set_pods("echo", own_address(), backend.ports)
        assert await asyncio.wait_for(call, 60) == b"hello"
        cluster.set_pods("echo", None, backend.ports)
        held = asyncio.ensure_future(_answer(unary(b"again")))
        cluster.set_pods("echo", own_address(), backend.ports)
        assert await asyncio.wait_for(held, 60) == b"again"
    numbers = [report.sequence for report in sink.reports]
    assert numbers == sorted(set(numbers))
    assert {report.gateway for report in sink.reports} == {"gateway-0"}
    status, metrics = await _text(f"http://127.0.0.1:{activator.metrics_port}/metrics")
    assert status == 200
    wakes = [line for line in metrics.splitlines() if line.startswith("atheria_gateway_wakes_total{")]
    assert wakes == ['atheria_gateway_wakes_total{model="echo",namespace="demo"} 1.0'], activator.log
    assert (await _text(f"http://127.0.0.1:{activator.metrics_port}/readyz"))[0] == 200


async def test_a_model_that_is_awake_already_is_not_lowered_by_a_wake(
    cluster: Cluster, envoy: Any, activator: ActivatorProcess, sink: Sink, backend: Any
) -> None:
    await _add_model(cluster, envoy, "three")
    cluster.kubectl("scale", f"{names.MODEL_PLURAL}/three", "-n", "demo", "--replicas=3")
    async with envoy.channel("three.demo") as channel:
        call = asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"x")))
        await _eventually_true(
            "the Deployment woken", lambda: cluster.replicas("deployment", "three-abc12345") == 1
        )
        cluster.set_pods("three", own_address(), backend.ports)
        assert await asyncio.wait_for(call, 60) == b"x"
    assert cluster.replicas(names.MODEL_PLURAL, "three") == 3


async def test_the_models_service_leads_to_the_gateway_pods(
    cluster: Cluster, activator: ActivatorProcess
) -> None:
    cluster.add_model("mirror")

    def written() -> bool:
        found = cluster.get("endpointslices", "-n", "demo", "-l", f"{names.LABEL_MODEL}=mirror")["items"]
        return [item["metadata"]["name"] for item in found] == ["mirror-gateway"]

    await _eventually_true("the slice", written)
    body = cluster.get("endpointslice", "mirror-gateway", "-n", "demo", "--show-managed-fields")
    assert [endpoint["addresses"] for endpoint in body["endpoints"]] == [[GATEWAY_POD_ADDRESS]]
    assert body["metadata"]["labels"]["kubernetes.io/service-name"] == "mirror"
    assert body["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "atheria.dev"
    assert body["metadata"]["ownerReferences"][0]["kind"] == names.MODEL_KIND
    assert {entry["manager"] for entry in body["metadata"]["managedFields"]} == {names.FIELD_MANAGER_GATEWAY}
    version = body["metadata"]["resourceVersion"]
    cluster.kubectl("delete", "endpointslice", "mirror-gateway", "-n", "demo")
    await _eventually_true("the slice written again", written)
    again = cluster.get("endpointslice", "mirror-gateway", "-n", "demo")
    assert again["metadata"]["resourceVersion"] != version


async def test_a_deleted_model_is_not_found_and_a_new_one_is_routed(
    cluster: Cluster, envoy: Any, activator: ActivatorProcess
) -> None:
    cluster.add_model("first")
    cluster.add_model("second")
    async with envoy.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")

        async def refusal() -> str:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(b"x", timeout=60)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            return str(caught.value.details())

        async def choices(expected: bool) -> None:
            async with asyncio.timeout(60):
                while ("demo/second" in _models_in(await refusal())) is not expected:  # noqa: ASYNC110 - Envoy sets no event
                    await asyncio.sleep(0.05)

        await choices(True)
        cluster.kubectl("delete", f"{names.MODEL_PLURAL}/second", "-n", "demo")
        await choices(False)


async def test_held_calls_survive_a_killed_activator_and_an_api_server_that_is_listed_anew(
    cluster: Cluster, envoy: Any, activator: ActivatorProcess, sink: Sink, backend: Any
) -> None:
    await _add_model(cluster, envoy, "killed")
    async with envoy.channel("killed.demo") as channel:
        unary = channel.unary_unary("/t.S/Unary")
        calls = [asyncio.ensure_future(_answer(unary(b"k" * 100_000))) for _ in range(10)]
        await eventually("a report of held calls", lambda: sink.has_held("killed"))
        await activator.kill()
        await activator.start()
        cluster.set_pods("killed", own_address(), backend.ports)
        answers = await asyncio.wait_for(asyncio.gather(*calls), 60)
        assert [len(answer) for answer in answers] == [100_000] * 10


async def test_demand_reports_go_on_after_the_operator_was_away(
    cluster: Cluster, activator: ActivatorProcess, sink: Sink
) -> None:
    cluster.add_model("reported")
    await eventually("reports", lambda: len(sink.reports) > 0)
    await sink.stop()
    last = sink.reports[-1].sequence
    await sink.start()
    await eventually("reports again", lambda: sink.reports[-1].sequence > last)


async def test_a_terminated_activator_drains_and_ends_well(activator: ActivatorProcess) -> None:
    assert await activator.terminate() == 0
    assert "drained with 0 held calls handed back" in activator.log


def _models_in(sentence: str) -> list[str]:
    return sentence.rpartition("one of ")[2].replace(" and ", ", ").split(", ")


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
