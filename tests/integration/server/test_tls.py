"""A server with TLS: every port is encrypted, a renewed certificate counts at once, and nobody is cut off by it."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from atheria_local.pki import Authority, Certificate
from tests.integration.server.harness import GATE_SOURCE, Server, eventually, tensor

SECONDS = 60
VARIABLES = ("ATHERIA_TLS_CERT_FILE", "ATHERIA_TLS_KEY_FILE", "ATHERIA_TLS_CLIENT_CA_FILE")
SPIFFE = "spiffe://cluster.local/ns/lab/sa/notebook"


class Tls:
    """The files that a server was given, the authorities behind them, and clients of both."""

    def __init__(self, folder: Path, *, mutual: bool) -> None:
        self.folder = folder
        self.ours = Authority(folder / "ours")
        self.theirs = Authority(folder / "theirs")
        self.mounted = folder / "mounted"
        self.cert, self.key, self.client_ca = (
            self.mounted / name for name in ("tls.crt", "tls.key", "ca.crt")
        )
        self.mutual = mutual
        self.versions = 0
        self.renew()

    def mount(self, server: Certificate, clients: Authority) -> None:
        """All files at once, as a mounted Secret changes."""
        self.versions += 1
        folder = self.folder / f"version-{self.versions}"
        folder.mkdir()
        shutil.copy(server.key, folder / "tls.key")
        shutil.copy(server.certificate, folder / "tls.crt")
        shutil.copy(clients.certificate, folder / "ca.crt")
        link = self.folder / "next"
        link.symlink_to(folder)
        link.replace(self.mounted)

    def renew(self) -> None:
        """Another key and certificate."""
        names = ["DNS:localhost", "IP:127.0.0.1"]
        self.mount(self.ours.issue(f"server-{self.versions}", names=names), self.ours)

    def trust(self, authority: Authority) -> None:
        """Whose clients may come."""
        self.mount(self.ours.issue("server-0"), authority)

    def environment(self) -> dict[str, str]:
        files = (self.cert, self.key, self.client_ca) if self.mutual else (self.cert, self.key)
        return dict(zip(VARIABLES, map(str, files), strict=False))

    def client(self, authority: Authority | None) -> Certificate | None:
        return authority.issue("notebook", names=[f"URI:{SPIFFE}"]) if authority else None

    def channel(self, server: Any, authority: Authority | None = None) -> grpc.Channel:
        client = self.client(authority)
        credentials = grpc.ssl_channel_credentials(
            self.ours.certificate.read_bytes(),
            client.key.read_bytes() if client else None,
            client.certificate.read_bytes() if client else None,
        )
        return grpc.secure_channel(server.grpc, credentials)

    def get(self, server: Any, path: str, authority: Authority | None = None) -> requests.Response:
        client = self.client(authority)
        return requests.get(
            https(server) + path,
            verify=str(self.ours.certificate),
            cert=(str(client.certificate), str(client.key)) if client else None,
            timeout=SECONDS,
        )

    def context(self, authority: Authority | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ours.certificate))
        if client := self.client(authority):
            context.load_cert_chain(client.certificate, client.key)
        return context


def https(server: Any) -> str:
    return str(server.http.replace("http", "https", 1))


def socket_url(server: Any) -> str:
    return str(server.http.replace("http", "wss", 1)) + f"/v2/models/{server.name}/stream"


def ports(server: Any) -> tuple[tuple[str, int], ...]:
    """Of gRPC and of HTTP."""
    return tuple(("127.0.0.1", int(address.rpartition(":")[2])) for address in (server.grpc, server.http))


def infer(channel: grpc.Channel, server: Any) -> Any:
    request = server.stub().request()
    return GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=SECONDS)  # type: ignore[no-untyped-call]


class WebSocket:
    """A WebSocket of one thread.

    The threaded client reads and writes one TLS connection at the same time, which Python 3.11 does not guard: about one
    opening in eight thousand waits for ever.
    """

    def __init__(self, server: Any, context: ssl.SSLContext) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._ws = self._loop.run_until_complete(self._open(socket_url(server), context))
        except BaseException:
            self._loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._ws.close())
        self._loop.close()

    def ask(self) -> int:
        """One answer; its index."""
        return self._loop.run_until_complete(asyncio.wait_for(self._ask(), SECONDS))

    @staticmethod
    async def _open(url: str, context: ssl.SSLContext) -> ClientConnection:
        return await connect(url, ssl=context, open_timeout=SECONDS)

    async def _ask(self) -> int:
        tensors = [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]
        await self._ws.send(json.dumps({"inputs": tensors}))
        index = json.loads(await self._ws.recv())["index"]
        assert json.loads(await self._ws.recv())["final"]
        return int(index)


def metric(server: Any, tls: Tls, name: str) -> float:
    """The one sample of a gauge."""
    lines = tls.get(server, "/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name + "{")).split()[-1])


def served(server: Any) -> tuple[str, str]:
    """The certificates that new connections to gRPC and to HTTP get."""
    grpc_port, http_port = ports(server)
    return ssl.get_server_certificate(grpc_port), ssl.get_server_certificate(http_port)


def run(tls: Tls) -> Iterator[tuple[Any, Tls]]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tls.environment().items():
            patch.setenv(name, value)
        server = Server("builtin://echo")
    with server:
        yield server, tls


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Tls]]:
    yield from run(Tls(tmp_path_factory.mktemp("tls"), mutual=False))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Tls]]:
    yield from run(Tls(tmp_path_factory.mktemp("mtls"), mutual=True))


def test_every_protocol_is_encrypted_and_clients_verify_the_server(encrypted: tuple[Any, Tls]) -> None:
    server, tls = encrypted
    with triton.InferenceServerClient(
        server.grpc, ssl=True, root_certificates=str(tls.ours.certificate)
    ) as client:
        answer = client.infer("m", [tensor("x", np.ones((1, 1), np.float32))])
        assert answer.as_numpy("y").tolist() == [[1.0]]
    for path in ("/v2/models/m", "/v2/health/ready", "/metrics"):
        assert tls.get(server, path).status_code == 200, path
    with WebSocket(server, tls.context()) as ws:
        assert ws.ask() == 0


def test_who_does_not_encrypt_gets_nothing(encrypted: tuple[Any, Tls]) -> None:
    server, _ = encrypted
    with pytest.raises(requests.ConnectionError):
        requests.get(server.http + "/v2/health/live", timeout=SECONDS)
    with server.stub() as stub, pytest.raises(grpc.RpcError) as refused:
        stub.infer(stub.request(), timeout=5)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_both_ports_speak_tls_1_2_and_newer_and_name_their_protocol(encrypted: tuple[Any, Tls]) -> None:
    server, tls = encrypted
    for address, protocol in zip(ports(server), ("h2", "http/1.1"), strict=True):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = tls.context()
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"] if protocol == "h2" else ["http/1.1", "h2"])
            with (
                socket.create_connection(address, SECONDS) as raw,
                context.wrap_socket(raw, server_hostname="localhost") as secured,
            ):
                assert secured.selected_alpn_protocol() == protocol
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection(address, SECONDS) as raw, pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(raw)


def test_a_renewed_certificate_counts_without_a_restart_and_cuts_nobody_off(
    encrypted: tuple[Any, Tls],
) -> None:
    server, tls = encrypted
    before = served(server)
    assert before[0] == before[1]
    with (
        tls.channel(server) as channel,
        WebSocket(server, tls.context()) as ws,
    ):
        infer(channel, server)
        ws.ask()
        states: list[grpc.ChannelConnectivity] = []
        channel.subscribe(states.append)
        tls.renew()
        eventually("the new certificate on both ports", lambda: not set(served(server)) & set(before))
        infer(channel, server)
        ws.ask()
        assert set(states) <= {grpc.ChannelConnectivity.READY}, "the open connection was cut"
    leaf = ssl.PEM_cert_to_DER_cert(tls.cert.read_text())
    assert {ssl.PEM_cert_to_DER_cert(pem) for pem in served(server)} == {leaf}
    tls.get(server, "/v2/models/m").raise_for_status()


def test_the_expiry_of_the_served_certificate_is_a_metric(encrypted: tuple[Any, Tls]) -> None:
    server, tls = encrypted
    expiry = metric(server, tls, "atheria_certificate_expiry_timestamp_seconds")
    with (
        socket.create_connection(ports(server)[1], SECONDS) as raw,
        tls.context().wrap_socket(raw, server_hostname="localhost") as secured,
    ):
        certificate: Any = secured.getpeercert()
    assert expiry == ssl.cert_time_to_seconds(certificate["notAfter"])


def test_an_unusable_new_certificate_keeps_the_old_one_and_is_logged_once(
    encrypted: tuple[Any, Tls],
) -> None:
    server, tls = encrypted
    before = served(server)
    other = tls.theirs.issue("other", names=["DNS:localhost"])

    def complaints() -> list[str]:
        return [line for line in server.lines if "event=certificate_unusable" in line]

    assert not complaints()
    tls.mount(Certificate(key=tls.ours.issue("server-0").key, certificate=other.certificate), tls.ours)
    eventually("the complaint in the log", lambda: served(server) == before and complaints())
    assert "is not the key of" in complaints()[-1]
    assert str(tls.key) in complaints()[-1]
    tls.get(server, "/v2/models/m").raise_for_status()
    assert len(complaints()) == 1
    tls.renew()
    eventually("a good certificate again", lambda: not set(served(server)) & set(before))
    assert not any("PRIVATE" in line for line in server.lines)


def test_with_a_client_authority_only_its_clients_may_call(mutual: tuple[Any, Tls]) -> None:
    server, tls = mutual
    with tls.channel(server, tls.ours) as channel:
        infer(channel, server)
    assert tls.get(server, "/v2/models/m", tls.ours).status_code == 200
    with WebSocket(server, tls.context(tls.ours)) as ws:
        assert ws.ask() == 0
    for authority in (None, tls.theirs):
        with tls.channel(server, authority) as channel, pytest.raises(grpc.RpcError) as refused:
            infer(channel, server)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    answer = tls.get(server, "/v2/models/m")
    assert answer.status_code == 403
    assert "client certificate" in answer.json()["error"]
    with pytest.raises(InvalidStatus) as closed:
        WebSocket(server, tls.context())
    assert closed.value.response.status_code == 403
    with pytest.raises(requests.ConnectionError):
        tls.get(server, "/v2/models/m", tls.theirs)


def test_probes_and_the_scraper_need_no_client_certificate_over_https(mutual: tuple[Any, Tls]) -> None:
    server, tls = mutual
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready", "/health", "/metrics"):
        assert tls.get(server, path).status_code == 200, path


def test_a_client_certificate_names_the_caller_for_its_limit_over_both_protocols(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: Any
) -> None:
    tls = Tls(tmp_path, mutual=True)
    for name, value in (*tls.environment().items(), ("ATHERIA_CALLER_CONCURRENCY", "1")):
        monkeypatch.setenv(name, value)

    def post(client: Certificate) -> requests.Response:
        return requests.post(
            f"{https(server)}/v2/models/m/infer",
            json={"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]},
            verify=str(tls.ours.certificate),
            cert=(str(client.certificate), str(client.key)),
            timeout=SECONDS,
        )

    with Server(GATE_SOURCE) as server, tls.channel(server, tls.ours) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        held = stub.ModelInfer.future(server.stub().request(gate=gate.path), timeout=SECONDS)
        gate.wait_held()
        stream = stub.ModelStreamInfer(iter([server.stub().request()]), timeout=SECONDS)
        words = f"caller 'certificate:{SPIFFE}' has 1 calls in flight"
        assert words in next(stream).error_message
        notebook = tls.client(tls.ours)
        assert notebook is not None
        answer = post(notebook)
        assert answer.status_code == 429
        assert words in answer.json()["error"]
        with ThreadPoolExecutor(1) as threads:
            other = threads.submit(post, tls.ours.issue("viewer"))
            eventually(
                "the other caller's call", lambda: metric(server, tls, "atheria_requests_in_flight") == 2
            )
            gate.open()
            assert other.result(SECONDS).status_code == 200
        assert held.result()


def test_a_changed_client_authority_counts_without_a_restart(mutual: tuple[Any, Tls]) -> None:
    server, tls = mutual

    def may_call(authority: Authority) -> tuple[bool, bool]:
        """Over gRPC and over HTTP."""
        try:
            http = tls.get(server, "/v2/models/m", authority).status_code == 200
        except requests.ConnectionError:
            http = False
        with tls.channel(server, authority) as channel:
            try:
                infer(channel, server)
            except grpc.RpcError:
                return False, http
        return True, http

    assert may_call(tls.ours) == (True, True)
    assert may_call(tls.theirs) == (False, False)
    tls.trust(tls.theirs)
    eventually("clients of the new authority", lambda: may_call(tls.theirs) == (True, True))
    assert may_call(tls.ours) == (False, False)
    tls.trust(tls.ours)
    eventually("clients of the old authority", lambda: may_call(tls.ours) == (True, True))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ATHERIA_TLS_CERT_FILE": "tls.crt"}, ("ATHERIA_TLS_KEY_FILE is not", "set both")),
        ({"ATHERIA_TLS_CLIENT_CA_FILE": "ca.crt"}, ("ATHERIA_TLS_CERT_FILE is not", "set both")),
        (
            {"ATHERIA_TLS_CERT_FILE": "none.crt", "ATHERIA_TLS_KEY_FILE": "tls.key"},
            ("ATHERIA_TLS_CERT_FILE: ", "none.crt cannot be read: No such file", "mount the file"),
        ),
    ],
)
def test_files_that_cannot_be_used_end_the_start_with_variable_file_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], words: tuple[str, ...]
) -> None:
    tls = Tls(tmp_path, mutual=True)
    for name, file in files.items():
        monkeypatch.setenv(name, str(tls.mounted / file))
    server = Server("builtin://echo")
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    for word in words:
        assert word in server.lines[-1]
