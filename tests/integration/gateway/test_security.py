"""TLS, client certificates and keys at the gateway's ports."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_gateway.xds.tls import TlsFiles
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, certificate

KEY, OTHER_KEY = "k" * 64, "a key of an odd length, longer than one block of the hash: " + "z" * 40


def _digest(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


async def _started(directory: Path, pod: Any, **settings: Any) -> Any:
    gateway = harness.Gateway(directory, **settings)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA))
    gateway.kube.set_pod(QCA, pod.ports)
    await gateway.start_envoy()
    await gateway.start_activator()
    await gateway.wait_until_routed()
    return gateway


def _credentials(directory: Path, client: str | None = None) -> grpc.ChannelCredentials:
    own = (
        ((directory / f"{client}.key").read_bytes(), (directory / f"{client}.crt").read_bytes())
        if client
        else (None, None)
    )
    return grpc.ssl_channel_credentials((directory / "authority.crt").read_bytes(), *own)


def _channel(gateway: Any, credentials: grpc.ChannelCredentials) -> grpc.aio.Channel:
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.secure_channel(f"127.0.0.1:{gateway.ports[0]}", credentials, options=options)


async def _serial(gateway: Any, context: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", gateway.ports[1], ssl=context, server_hostname="localhost"
    )
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return str(found)


async def test_with_a_certificate_both_ports_speak_tls_only_and_probes_stay_plain(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    certificate(tmp_path, "authority")
    certificate(tmp_path, "server", "authority")
    files = TlsFiles(certificate=str(tmp_path / "server.crt"), key=str(tmp_path / "server.key"))
    gateway = await _started(run_directory, pod, tls=files)
    try:
        async with _channel(gateway, _credentials(tmp_path)) as channel:
            assert await channel.unary_unary("/t.S/Unary")(b"x", timeout=20) == b"x"
        async with gateway.channel() as plain:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await plain.unary_unary("/t.S/Unary")(b"x", timeout=5)
            assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        context = ssl.create_default_context(cafile=str(tmp_path / "authority.crt"))
        async with aiohttp.ClientSession() as session:
            url = f"https://localhost:{gateway.ports[1]}/v2/models/qca"
            async with session.get(url, ssl=context) as answer:
                assert answer.status == 200
            async with session.get(f"http://127.0.0.1:{gateway.health_port}/healthz") as answer:
                assert answer.status == 200
        envoy = EnvoyAdmin(gateway.settings.admin_socket)
        expiry_seconds = await envoy.certificate_expiry_seconds()
        await envoy.close()
        assert expiry_seconds is not None
        assert 0 < expiry_seconds - time.time() <= 2 * 86400
        before = await _serial(gateway, context)
        # As Kubernetes changes a mounted Secret: the new files come by one rename.
        renewed = tmp_path / "renewed"
        renewed.mkdir()
        for name in ("authority.crt", "authority.key"):
            (renewed / name).write_bytes((tmp_path / name).read_bytes())
        certificate(renewed, "server", "authority")
        for name in ("server.key", "server.crt"):
            os.replace(renewed / name, tmp_path / name)  # noqa: PTH105 - one system call is the point
        async with asyncio.timeout(20):
            while await _serial(gateway, context) == before:  # noqa: ASYNC110 - Envoy sets no event
                await asyncio.sleep(0.05)
    finally:
        await gateway.stop()


async def test_with_a_client_authority_callers_need_a_certificate_of_it_and_are_known_by_it(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    certificate(tmp_path, "authority")
    certificate(tmp_path, "server", "authority")
    certificate(tmp_path, "client", "authority")
    certificate(tmp_path, "stranger")
    files = TlsFiles(
        certificate=str(tmp_path / "server.crt"),
        key=str(tmp_path / "server.key"),
        client_authority=str(tmp_path / "authority.crt"),
    )
    gateway = await _started(run_directory, pod, tls=files)
    try:
        async with _channel(gateway, _credentials(tmp_path, "client")) as channel:
            assert await channel.unary_unary("/t.S/Unary")(b"x", timeout=20) == b"x"
        fingerprint = hashlib.sha256(
            ssl.PEM_cert_to_DER_cert((tmp_path / "client.crt").read_text(encoding="utf-8"))
        ).hexdigest()
        assert pod.metadata[-1]["x-atheria-caller"] == fingerprint
        for client in (None, "stranger"):
            async with _channel(gateway, _credentials(tmp_path, client)) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary("/t.S/Unary")(b"x", timeout=5)
                assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert pod.calls == 1
    finally:
        await gateway.stop()


async def test_calls_need_one_of_the_keys_and_pods_see_the_callers_name_only(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# callers\n{_digest(KEY)} notebook\n{_digest(OTHER_KEY)}\n", encoding="utf-8")
    gateway = await _started(run_directory, pod, api_keys_file=str(keys))
    try:
        async with gateway.channel() as channel, aiohttp.ClientSession() as session:
            unary = channel.unary_unary("/t.S/Unary")
            for shown in ((), (("authorization", "Bearer wrong"),), (("authorization", f"Basic {KEY}"),)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await unary(b"x", metadata=(*shown, ("x-atheria-caller", "key:forged")), timeout=20)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                assert "authorization: Bearer KEY" in str(caught.value.details())
            assert await unary(b"x", metadata=(("authorization", f"Bearer {KEY}"),), timeout=20) == b"x"
            assert pod.metadata[-1]["x-atheria-caller"] == "key:notebook"
            assert "authorization" not in pod.metadata[-1]
            await unary(b"x", metadata=(("authorization", f"bearer {OTHER_KEY}"),), timeout=20)
            digest = hashlib.sha256(OTHER_KEY.encode()).hexdigest()
            assert pod.metadata[-1]["x-atheria-caller"] == f"key:{digest[:12]}"
            async with session.get(gateway.url("/v2/models/qca")) as answer:
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert "Bearer KEY" in (await answer.json())["error"]
            headers = {"authorization": f"Bearer {KEY}"}
            async with session.get(gateway.url("/v2/models/qca"), headers=headers) as answer:
                assert answer.status == 200
            # Load balancers ask without a key, and learn nothing of a model.
            health = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=20)).status == 1
            with pytest.raises(grpc.aio.AioRpcError):
                await health.Check(
                    health_pb2.HealthCheckRequest(), metadata=(("atheria-model", "demo/qca"),), timeout=20
                )
            async with session.get(gateway.url("/healthz")) as answer:
                assert answer.status == 200
        assert KEY not in "\n".join(gateway.envoy_lines())
    finally:
        await gateway.stop()


async def test_keys_are_read_again_and_an_unusable_file_keeps_the_good_ones(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{_digest(KEY)} notebook\n", encoding="utf-8")
    gateway = await _started(run_directory, pod, api_keys_file=str(keys), forwards_keys=True)
    try:
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")

            async def is_let_in(key: str) -> bool:
                try:
                    await unary(b"x", metadata=(("authorization", f"Bearer {key}"),), timeout=20)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                        raise
                    return False
                return True

            async def eventually_let_in(key: str, expected: bool) -> None:
                async with asyncio.timeout(20):
                    while await is_let_in(key) is not expected:  # noqa: ASYNC110 - Envoy sets no event
                        await asyncio.sleep(0.1)

            assert await is_let_in(KEY)
            assert pod.metadata[-1]["authorization"] == f"Bearer {KEY}"
            keys.write_text(f"{_digest(OTHER_KEY)} notebook\n", encoding="utf-8")
            await eventually_let_in(OTHER_KEY, True)
            assert not await is_let_in(KEY)
            keys.write_text(f"{_digest('')} empty\n", encoding="utf-8")
            async with asyncio.timeout(20):
                while not any("cannot be used" in line for line in gateway.envoy_lines()):
                    assert await is_let_in(OTHER_KEY)
                    assert not await is_let_in("")
                    await asyncio.sleep(0.1)
            assert await is_let_in(OTHER_KEY)
            keys.write_text("", encoding="utf-8")
            await eventually_let_in(OTHER_KEY, False)
    finally:
        await gateway.stop()
