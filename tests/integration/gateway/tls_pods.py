"""What tests of mutual TLS between a real Envoy and real model servers share: files as they are mounted, servers, calls and load."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
import grpc
import pytest
from cryptography import x509

from atheria_contract import names
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from atheria_gateway.xds.tls import TlsFiles
from atheria_operator.domain.certificates.stored import Pair
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually
from tests.integration.server.harness import Server

CALL_SECONDS = 60
HOST = names.pod_host(QCA.namespace, QCA.name)


class Mounted:
    """A Secret as the kubelet mounts it: the files change all at once, by one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = 0
        folder.mkdir()
        for name in (names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE):
            (folder / name).symlink_to(f"..data/{name}")

    def put(self, pair: Pair, *trusted: Pair) -> None:
        authorities = b"".join(one.certificate for one in trusted)
        self.mount(
            {
                names.TLS_CERT_FILE: pair.certificate,
                names.TLS_KEY_FILE: pair.key,
                names.TLS_CA_FILE: authorities,
            }
        )

    def mount(self, data: Mapping[str, bytes]) -> None:
        """What a Secret holds."""
        self._versions += 1
        version = self.folder / f"..version-{self._versions}"
        version.mkdir()
        for name, content in data.items():
            (version / name).write_bytes(content)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")

    @property
    def files(self) -> TlsFiles:
        return TlsFiles.mounted(str(self.folder))

    def environment(self) -> dict[str, str]:
        return {
            names.ENV_TLS_CERT_FILE: self.files.certificate,
            names.ENV_TLS_KEY_FILE: self.files.key,
            names.ENV_TLS_CLIENT_CA_FILE: self.files.client_authority,
        }


@contextlib.contextmanager
def serving(mounted: Mounted) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mounted.environment().items():
            patch.setenv(name, value)
        server = Server("builtin://echo")
    with server:
        yield server


def ports_of(server: Any) -> tuple[int, int]:
    return int(server.grpc.rpartition(":")[2]), int(server.http.rpartition(":")[2])


def slice_of(server: Any, *, has_tls: bool, revision: str = "abc123") -> dict[str, Any]:
    body = harness.slice_object(QCA, ports_of(server), revision=revision)
    if has_tls:
        for port in body["ports"]:
            port["appProtocol"] = names.APP_PROTOCOL_TLS
    return dict(body)


@contextlib.asynccontextmanager
async def running(directory: Path, **changes: Any) -> AsyncIterator[Any]:
    one = harness.Gateway(directory, hold_s=60.0, **changes)
    one.kube.put(Watched.MODELS, harness.model_object(QCA, replicas=1))
    try:
        await one.start_envoy()
        await one.start_activator()
        await one.wait_until_routed()
        yield one
    finally:
        await one.stop()


async def infer(gateway: Any, server: Any) -> str:
    """One call by gRPC through the gateway; the answer's model."""
    async with gateway.channel() as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = await stub.ModelInfer(server.stub().request(), timeout=CALL_SECONDS)
    return str(answer.model_name)


def rest_status(server: Any, path: str, context: ssl.SSLContext) -> int:
    """The status of a GET. Raises OSError where the pod ends the connection."""
    with (
        socket.create_connection(("127.0.0.1", ports_of(server)[1]), CALL_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        encrypted.sendall(f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
        line = encrypted.recv(64).decode()
    if not line:
        raise ConnectionResetError("the pod ended the connection without an answer")
    return int(line.split()[1])


def direct(server: Any, trusted: Pair, shown: Pair | None) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        trusted.certificate, shown.key if shown else None, shown.certificate if shown else None
    )
    options = [("grpc.ssl_target_name_override", HOST), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.secure_channel(server.grpc, credentials, options=options)


def refusal(server: Any, trusted: Pair, shown: Pair | None) -> grpc.StatusCode:
    with direct(server, trusted, shown) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(server.stub().request(), timeout=CALL_SECONDS)
    code: grpc.StatusCode = caught.value.code()
    return code


class Load:
    """Calls one after the other, each over a connection of its own to the gateway, until it is told to stop."""

    def __init__(self, gateway: Any, server: Any) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._gateway, self._server = gateway, server
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(2)]
        await self.more()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def more(self, calls: int = 10) -> None:
        wanted = self.answered + calls
        await eventually("calls answered", lambda: self.answered >= wanted or bool(self.failures))
        assert not self.failures, self.failures

    async def _call(self) -> None:
        while True:
            try:
                await infer(self._gateway, self._server)
                self.answered += 1
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"{error.code()} {error.details()}")


def presented(server: Any) -> set[bytes]:
    """What new connections to its ports are shown."""
    return {
        ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port))) for port in ports_of(server)
    }


async def taken_up(gateway: Any, server: Any, pod: Pair, client: Pair) -> None:
    """Until both sides show, and trust, what was mounted with these."""
    wanted = {ssl.PEM_cert_to_DER_cert(pod.certificate.decode())}
    serial = f"{x509.load_pem_x509_certificate(client.certificate).serial_number:x}"
    connector = aiohttp.UnixConnector(path=gateway.settings.admin_socket)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(CALL_SECONDS):
        while await asyncio.to_thread(presented, server) != wanted:  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.1)
        while True:
            async with session.get("http://envoy/certs") as answer:
                if serial in (await answer.text()):
                    return
            await asyncio.sleep(0.1)
