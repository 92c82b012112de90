"""Calls from a real Envoy to real model servers by mutual TLS, with the certificates that the operator makes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from atheria_contract import names
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_gateway.adapters.standby import HttpStandby
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_operator.adapters.authority import P256Issuer
from atheria_operator.domain.certificates.stored import Pair
from atheria_operator.runtime.ports import Usage
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually
from tests.integration.gateway.tls_pods import (
    CALL_SECONDS,
    HOST,
    Load,
    Mounted,
    direct,
    infer,
    ports_of,
    refusal,
    rest_status,
    running,
    serving,
    slice_of,
    taken_up,
)
from tests.integration.server.harness import Server

HOUR_SECONDS = 3600.0
ISSUER = P256Issuer()


def authority(name: str) -> Pair:
    return ISSUER.authority(name, now_seconds=time.time(), seconds=HOUR_SECONDS)


def issue(signer: Pair, host: str = HOST, usage: Usage = Usage.SERVER) -> Pair:
    return ISSUER.issue(signer, host, usage, now_seconds=time.time(), seconds=HOUR_SECONDS)


class Side:
    """The authority, and what both sides have mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = authority("first")
        self.pod, self.client = Mounted(folder / "pod"), Mounted(folder / "client")
        self.pod.put(issue(self.authority), self.authority)
        self.client.put(issue(self.authority, "gateway.system.svc", Usage.CLIENT), self.authority)


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Side:
    return Side(tmp_path_factory.mktemp("pod-tls"))


@pytest.fixture(scope="module")
def server(side: Side) -> Iterator[Any]:
    with serving(side.pod) as one:
        yield one


@pytest.fixture
async def gateway(run_directory: Path, side: Side, server: Any) -> AsyncIterator[Any]:
    async with running(run_directory, pod_tls=side.client.files) as one:
        one.kube.put(Watched.SLICES, slice_of(server, has_tls=True))
        yield one


async def test_calls_pass_by_grpc_and_rest_and_the_gateway_tells_when_its_certificate_ends(
    gateway: Any, server: Any
) -> None:
    assert await infer(gateway, server) == server.name
    async with (
        aiohttp.ClientSession() as session,
        session.get(gateway.url(f"/v2/models/{server.name}")) as answer,
    ):
        assert answer.status == 200, await answer.text()
    admin = EnvoyAdmin(gateway.settings.admin_socket)
    expiry_seconds = await admin.certificate_expiry_seconds()
    await admin.close()
    assert expiry_seconds is not None
    assert 0 < expiry_seconds - time.time() <= HOUR_SECONDS


def test_a_pod_takes_no_call_from_who_has_no_certificate_a_models_or_a_foreign_one(
    side: Side, server: Any, tmp_path: Path
) -> None:
    client = issue(side.authority, "gateway.system.svc", Usage.CLIENT)
    with direct(server, side.authority, client) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        assert stub.ModelInfer(server.stub().request(), timeout=CALL_SECONDS).model_name == server.name
    models = issue(side.authority, "other.demo.svc")
    foreign = issue(authority("foreign"), "gateway.system.svc", Usage.CLIENT)
    for refused in (None, models, foreign):
        assert refusal(server, side.authority, refused) is grpc.StatusCode.UNAVAILABLE
    for refused in (models, foreign):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            rest_status(server, "/v2/models/m", verified(side.authority, tmp_path, refused))


def test_probes_and_scrapes_need_no_certificate_and_everything_else_does(
    side: Side, server: Any, tmp_path: Path
) -> None:
    context = verified(side.authority, tmp_path, None)
    for path in (names.PATH_READY, "/v2/health/live", "/metrics"):
        assert rest_status(server, path, context) == 200, path
    assert rest_status(server, "/v2/models/m", context) == 403


def verified(trusted: Pair, folder: Path, shown: Pair | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=trusted.certificate.decode())
    if shown is not None:
        file = folder / "shown.pem"
        file.write_bytes(shown.certificate + shown.key)
        context.load_cert_chain(file)
    return context


async def test_a_pod_that_shows_another_models_certificate_gets_no_call(
    run_directory: Path, side: Side, tmp_path: Path
) -> None:
    wrong = Mounted(tmp_path / "wrong")
    wrong.put(issue(side.authority, "other.demo.svc"), side.authority)
    with serving(wrong) as impostor:
        async with running(run_directory, pod_tls=side.client.files) as gateway:
            gateway.kube.put(Watched.SLICES, slice_of(impostor, has_tls=True))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asyncio.wait_for(infer(gateway, impostor), CALL_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            # The right one is taken at once, without a restart of anybody.
            wrong.put(issue(side.authority), side.authority)
            await eventually_answers(gateway, impostor)


async def eventually_answers(gateway: Any, server: Any) -> None:
    async with asyncio.timeout(CALL_SECONDS):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await infer(gateway, server)
                return
            await asyncio.sleep(0.1)


async def test_certificates_and_their_authority_are_renewed_without_a_restart_and_without_a_lost_call(
    gateway: Any, side: Side, server: Any
) -> None:
    first, second = side.authority, authority("second")
    steps = [
        # A renewal; then both authorities are trusted, then the second signs, then the first is gone.
        (first, [first]),
        (first, [first, second]),
        (second, [first, second]),
        (second, [second]),
    ]
    async with Load(gateway, server) as load:
        for signer, trusted in steps:
            pod, client = issue(signer), issue(signer, "gateway.system.svc", Usage.CLIENT)
            side.pod.put(pod, *trusted)
            side.client.put(client, *trusted)
            await taken_up(gateway, server, pod, client)
            await load.more()
            # Without its pod Envoy closes the connections, and opens new ones with what is mounted now.
            gateway.kube.put(Watched.SLICES, harness.slice_object(QCA, None))
            gateway.kube.put(Watched.SLICES, slice_of(server, has_tls=True))
            await load.more()
    late = issue(first, "gateway.system.svc", Usage.CLIENT)
    assert refusal(server, second, late) is grpc.StatusCode.UNAVAILABLE
    side.authority = second


async def test_no_call_is_lost_while_a_model_changes_from_plain_text_to_tls_and_back(
    run_directory: Path, side: Side, server: Any
) -> None:
    model = harness.model_object(QCA, replicas=1)

    def serve(revision: str) -> dict[str, Any]:
        return {**model, "status": {**model["status"], "activeRevision": f"qca-{revision}"}}

    with Server("builtin://echo") as plain:
        async with running(run_directory, pod_tls=side.client.files) as gateway:
            gateway.kube.put(Watched.SLICES, slice_of(plain, has_tls=False, revision="plain"))
            gateway.kube.put(Watched.MODELS, serve("plain"))
            async with Load(gateway, server) as load:
                gateway.kube.put(Watched.SLICES, slice_of(server, has_tls=True, revision="tls"))
                await load.more()
                gateway.kube.put(Watched.MODELS, serve("tls"))
                await load.more(50)
                gateway.kube.delete(Watched.SLICES, QCA.namespace, "qca-plain-x")
                await load.more(50)
                gateway.kube.put(Watched.SLICES, slice_of(plain, has_tls=False, revision="plain"))
                gateway.kube.put(Watched.MODELS, serve("plain"))
                await load.more(50)
        assert plain.metric(names.METRIC_REQUESTS) > 0


async def test_a_gateway_without_a_certificate_keeps_calls_from_pods_that_ask_for_one(
    run_directory: Path, server: Any
) -> None:
    async with running(run_directory) as gateway:
        gateway.kube.put(Watched.SLICES, slice_of(server, has_tls=True))
        call = asyncio.create_task(infer(gateway, server))
        await eventually("the call is held", lambda: gateway.held() == 1)
        with Server("builtin://echo") as plain:
            gateway.kube.put(Watched.SLICES, slice_of(plain, has_tls=False, revision="plain"))
            assert await asyncio.wait_for(call, CALL_SECONDS) == server.name


async def test_an_order_to_wake_goes_only_to_a_pod_that_proves_to_be_the_models(
    side: Side, server: Any
) -> None:
    endpoint = Endpoint(address="127.0.0.1", http_port=ports_of(server)[1], has_tls=True)
    answers: list[str] = []
    for key in (QCA, ModelKey(namespace="demo", name="other")):
        standby = HttpStandby(b"k" * 32, side.client.files)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "atheria_gateway.adapters.standby._LOG.info", lambda *words: answers.append(str(words))
            )
            # The server is not in standby and knows no such orders.
            assert not await standby.wake(endpoint, key)
        await standby.close()
    assert "404" in answers[0]
    assert "CERTIFICATE_VERIFY_FAILED" in answers[1]
