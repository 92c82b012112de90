"""external.metrics.k8s.io: what the API server's front proxy gets, and that nobody else gets anything."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from atheria_local.pki import Authority, Certificate
from atheria_operator.adapters.external_metrics import FrontProxy, build_app, serve_external_metrics
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.interop.offer import METRIC_CALLS, Offer
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.runtime.offers import OfferReader, Offers
from atheria_operator.runtime.ports import ClusterError, ObjectRef

KEY = ModelKey(namespace="demo", name="qca")
BASE = "/apis/external.metrics.k8s.io/v1beta1"


class World:
    """One model that has 6.25 calls."""

    def __init__(self) -> None:
        offers = Offers()
        offers.put(KEY, Offer(metric=METRIC_CALLS, value=6.25, last_call_seconds=1))
        ports: Any = self
        self.reader = OfferReader(offers, ports, ports)

    def demand(self, key: ModelKey) -> Demand | None:
        return Demand(held=0, in_flight=1, arrivals_total=0, is_complete=True) if key == KEY else None

    def monotonic_seconds(self) -> float:
        return 1.0

    def now(self) -> str:
        return "2026-01-01T00:00:00Z"


@asynccontextmanager
async def client(*, is_front_proxy: bool = True) -> AsyncIterator[TestClient[Any, Any]]:
    app = build_app(World().reader, lambda _: is_front_proxy)
    async with TestClient(TestServer(app)) as found:
        yield found


@pytest.mark.parametrize("selector", ["model%3Dqca", "model%3D%3Dqca", "model%20in%20(qca)"])
async def test_a_value_is_given_in_thousandths(selector: str) -> None:
    async with client() as api:
        answer = await api.get(f"{BASE}/namespaces/demo/{METRIC_CALLS}?labelSelector={selector}")
        assert answer.status == 200
        assert await answer.json() == {
            "kind": "ExternalMetricValueList",
            "apiVersion": "external.metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": [
                {
                    "metricName": METRIC_CALLS,
                    "metricLabels": {"model": "qca"},
                    "timestamp": "2026-01-01T00:00:00Z",
                    "value": "6250m",
                }
            ],
        }


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("demo/atheria_calls?labelSelector=model%3Dother", 503, "model demo/other: no gateway has reported"),
        ("demo/atheria_calls", 400, "name one model, as model=NAME"),
        ("demo/atheria_calls?labelSelector=model%20in%20(a,b)", 400, "name one model"),
        ("demo/cpu?labelSelector=model%3Dqca", 404, "metric cpu is unknown"),
        ("demo/atheria_calls_per_second?labelSelector=model%3Dqca", 404, "is scaled by atheria_calls"),
    ],
)
async def test_what_cannot_be_answered_says_why_in_kubernetes_own_form(
    path: str, status: int, words: str
) -> None:
    async with client() as api:
        answer = await api.get(f"{BASE}/namespaces/{path}")
        told = await answer.json()
    assert (answer.status, told["kind"], told["code"]) == (status, "Status", status)
    assert words in told["message"]


async def test_nobody_else_is_answered() -> None:
    async with client(is_front_proxy=False) as api:
        for path in (BASE, f"{BASE}/namespaces/demo/{METRIC_CALLS}?labelSelector=model%3Dqca"):
            answer = await api.get(path)
            assert answer.status == 401
            assert "6250m" not in await answer.text()


class Cluster:
    """kube-system's ConfigMap."""

    def __init__(self, data: Mapping[str, str] | None) -> None:
        self.data = data

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        assert (ref.namespace, ref.name) == ("kube-system", "extension-apiserver-authentication")
        return None if self.data is None else {"data": self.data}


@pytest.mark.parametrize("data", [None, {}, {"client-ca-file": "x"}])
async def test_an_api_server_without_an_aggregation_layer_is_named(
    data: Mapping[str, str] | None, tmp_path: Path
) -> None:
    cluster: Any = Cluster(data)
    with pytest.raises(ClusterError, match="has no requestheader-client-ca-file"):
        await FrontProxy(cluster, tmp_path).refresh()


def certificate(name: str) -> dict[str, Any]:
    return {"subject": ((("organizationName", "x"),), (("commonName", name),))}


async def test_the_names_that_the_api_server_publishes_are_those_that_are_let_in(tmp_path: Path) -> None:
    cluster: Any = Cluster({})
    proxy = FrontProxy(cluster, tmp_path)
    assert not proxy.allows(None)
    assert proxy.allows(certificate("anybody of the authority"))
    proxy.names = ("front-proxy-client",)
    assert proxy.allows(certificate("front-proxy-client"))
    assert not proxy.allows(certificate("somebody"))


def published(*authorities: Authority) -> dict[str, str]:
    """The ConfigMap's data."""
    return {
        "requestheader-client-ca-file": "".join(
            one.certificate.read_text(encoding="utf-8") for one in authorities
        )
    }


@asynccontextmanager
async def serving(cluster: Any, folder: Path) -> AsyncIterator[str]:
    """The server with a certificate of its own; its address."""
    own = Authority(folder / "own").issue("operator", names=["IP:127.0.0.1"])
    shutil.copy(own.certificate, folder / "tls.crt")
    shutil.copy(own.key, folder / "tls.key")
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(
        serve_external_metrics(World().reader, cluster, folder, 0, port.set_result, refresh_seconds=0.05)
    )
    try:
        yield f"https://127.0.0.1:{await asyncio.wait_for(port, 60)}{BASE}"
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


def session_of(caller: Certificate, own: Path) -> aiohttp.ClientSession:
    """Of somebody with that certificate, who keeps connections open."""
    context = ssl.create_default_context(cafile=str(own))
    context.load_cert_chain(caller.certificate, caller.key)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


async def is_answered(session: aiohttp.ClientSession, address: str) -> bool:
    """Whether the handshake and the request go well."""
    try:
        async with session.get(address) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False


async def until(session: aiohttp.ClientSession, address: str, *, answered: bool) -> None:
    """Bounded by a minute."""
    async with asyncio.timeout(60):
        while True:
            if await is_answered(session, address) == answered:
                return
            await asyncio.sleep(0.05)


async def test_without_any_authority_nobody_is_answered_until_there_is_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atheria_operator.adapters.external_metrics._RETRY_SECONDS", 0.05)
    authority = Authority(tmp_path / "front")
    cluster: Any = Cluster(published(authority))
    async with (
        serving(cluster, tmp_path) as address,
        session_of(authority.issue("proxy"), tmp_path / "own" / "ca.crt") as session,
    ):
        assert await is_answered(session, address)
        cluster.data = {"client-ca-file": "x"}
        await until(session, address, answered=False)
        cluster.data = published(authority)
        await until(session, address, answered=True)


async def test_an_authority_that_was_withdrawn_is_trusted_no_more_and_a_new_one_is(tmp_path: Path) -> None:
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    cluster: Any = Cluster(published(old))
    own = tmp_path / "own" / "ca.crt"
    async with (
        serving(cluster, tmp_path) as address,
        session_of(old.issue("proxy"), own) as before,
        session_of(new.issue("proxy"), own) as after,
    ):
        assert await is_answered(before, address)
        assert not await is_answered(after, address)
        cluster.data = published(old, new)
        await until(after, address, answered=True)
        assert await is_answered(before, address)
        cluster.data = published(new)
        await until(before, address, answered=False)
        assert await is_answered(after, address)
