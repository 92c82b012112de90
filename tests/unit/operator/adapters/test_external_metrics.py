"""external.metrics.k8s.io: what the API server's front proxy gets, and that nobody else gets anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from atheria_operator.adapters.external_metrics import FrontProxy, build_app
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
