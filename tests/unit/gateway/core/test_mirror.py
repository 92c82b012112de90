"""The EndpointSlice that leads a model's Service to the gateway's pods."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from atheria_gateway.core.mirror import (
    MAX_ADDRESSES,
    GatewayPod,
    content_of,
    gateway_pod_from_object,
    gateway_slice,
    protocols_of,
)
from atheria_gateway.core.model import Model, ModelKey

QCA = Model(key=ModelKey(namespace="demo", name="qca"), uid="u-1")
POD = GatewayPod(address="10.0.0.1", ready=True)


def _pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "s", "name": "gateway-0"}, "status": status}


def test_a_gateway_pod_is_ready_by_its_condition() -> None:
    ready = _pod(podIP="10.0.0.1", phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    assert gateway_pod_from_object(ready) == POD
    assert gateway_pod_from_object(_pod(podIP="10.0.0.1", phase="Running")) == GatewayPod(
        address="10.0.0.1", ready=False
    )


def test_pods_without_an_address_that_ended_or_are_going_away_do_not_count() -> None:
    leaving = _pod(podIP="10.0.0.1")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert gateway_pod_from_object(_pod()) is None
    assert gateway_pod_from_object(_pod(podIP="10.0.0.1", phase="Failed")) is None
    assert gateway_pod_from_object(leaving) is None


def test_the_slice_belongs_to_the_service_and_to_the_model() -> None:
    body = gateway_slice(QCA, [POD])
    assert body is not None
    assert body["metadata"]["name"] == "qca-gateway"
    assert body["metadata"]["labels"]["kubernetes.io/service-name"] == "qca"
    assert body["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert body["addressType"] == "IPv4"
    assert {port["name"]: port["port"] for port in body["ports"]} == {"grpc": 8001, "http": 8000}


def test_no_slice_is_written_without_pods_or_for_a_model_that_is_being_deleted() -> None:
    assert gateway_slice(QCA, []) is None
    assert gateway_slice(Model(key=QCA.key, is_leaving=True), [POD]) is None


def test_addresses_of_the_other_family_make_a_slice_of_that_family() -> None:
    body = gateway_slice(QCA, [GatewayPod(address="fd00::1", ready=True)])
    assert body is not None
    assert body["addressType"] == "IPv6"


def test_the_slice_says_what_the_ports_speak_with_and_without_tls() -> None:
    plain, over_tls = gateway_slice(QCA, [POD]), gateway_slice(QCA, [POD], has_tls=True)
    assert plain is not None
    assert over_tls is not None
    assert protocols_of(plain) == {"grpc": "kubernetes.io/h2c", "http": ""}
    assert protocols_of(over_tls) == {"grpc": "https", "http": "https"}
    # So that gateways with and without TLS do not write against each other without end.
    assert content_of(plain) == content_of(over_tls)


def test_a_slice_never_exceeds_the_apis_bound() -> None:
    body = gateway_slice(
        QCA, [GatewayPod(address=f"10.0.{i // 250}.{i % 250}", ready=True) for i in range(1200)]
    )
    assert body is not None
    assert len(body["endpoints"]) == MAX_ADDRESSES


_PODS = st.lists(
    st.builds(GatewayPod, address=st.sampled_from([f"10.0.0.{i}" for i in range(5)]), ready=st.booleans()),
    min_size=1,
    max_size=6,
    unique_by=lambda pod: pod.address,
)


@given(_PODS, st.randoms())
def test_every_gateway_pod_computes_the_same_slice_whatever_order_it_saw(
    pods: list[GatewayPod], order: Random
) -> None:
    shuffled = list(pods)
    order.shuffle(shuffled)
    assert gateway_slice(QCA, pods) == gateway_slice(QCA, shuffled)


@given(_PODS, _PODS)
def test_contents_are_equal_exactly_when_the_pods_are(one: list[GatewayPod], other: list[GatewayPod]) -> None:
    first, second = gateway_slice(QCA, one), gateway_slice(QCA, other)
    assert first is not None
    assert second is not None
    assert (content_of(first) == content_of(second)) == (set(one) == set(other))
