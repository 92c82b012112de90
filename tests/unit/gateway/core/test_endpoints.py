"""Which pods of which EndpointSlices take a model's calls."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_gateway.core.endpoints import Endpoint, PodSlice, endpoints_of, pod_slice_from_object, unready_of
from atheria_gateway.core.model import Model, ModelKey

QCA = ModelKey(namespace="demo", name="qca")


def _slice(revision: str, *endpoints: dict[str, Any]) -> PodSlice:
    return pod_slice_from_object(
        {
            "metadata": {
                "namespace": "demo",
                "name": f"qca-{revision}-x",
                "labels": {names.LABEL_MODEL: "qca", names.LABEL_REVISION: revision},
            },
            "endpoints": list(endpoints),
            "ports": [{"name": "grpc", "port": 9001}, {"name": "http", "port": 9000}],
        }
    )


def _ready(address: str) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": True}}


def test_ready_pods_come_with_both_ports_in_order() -> None:
    one = _slice("r1", _ready("10.0.0.2"), _ready("10.0.0.1"))
    assert one.endpoints == (
        Endpoint(address="10.0.0.1", grpc_port=9001, http_port=9000, revision="qca-r1"),
        Endpoint(address="10.0.0.2", grpc_port=9001, http_port=9000, revision="qca-r1"),
    )
    assert (one.model, one.revision) == (QCA, "r1")


def test_pods_that_are_not_ready_or_terminating_do_not_count() -> None:
    one = _slice(
        "r1",
        {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": True, "terminating": True}},
        {"addresses": ["10.0.0.3"]},
    )
    assert [endpoint.address for endpoint in one.endpoints] == ["10.0.0.3"]


def test_a_slice_without_endpoints_ports_or_labels_is_empty_not_an_error() -> None:
    one = pod_slice_from_object(
        {"metadata": {"namespace": "demo", "name": "x"}, "endpoints": None, "ports": None}
    )
    assert one.endpoints == ()


def test_the_active_revision_takes_the_calls_alone() -> None:
    model = Model(key=QCA, active_revision="qca-r2")
    slices = (_slice("r1", _ready("10.0.0.1")), _slice("r2", _ready("10.0.0.2")))
    assert [endpoint.address for endpoint in endpoints_of(model, slices)] == ["10.0.0.2"]


def test_pods_of_another_revision_serve_while_the_active_one_has_none() -> None:
    model = Model(key=QCA, active_revision="qca-r2")
    slices = (_slice("r1", _ready("10.0.0.1")), _slice("r2"))
    assert [endpoint.address for endpoint in endpoints_of(model, slices)] == ["10.0.0.1"]


def test_pods_that_sleep_are_those_of_the_active_revision_before_any_other() -> None:
    model = Model(key=QCA, active_revision="qca-r2")
    asleep = {"addresses": ["10.0.0.1"], "conditions": {"ready": False}}
    other = _slice("r1", asleep)
    active = _slice("r2", {**asleep, "addresses": ["10.0.0.2"]})
    assert [endpoint.address for endpoint in unready_of(model, (other, active))] == ["10.0.0.2"]
    assert [endpoint.address for endpoint in unready_of(model, (other, _slice("r2")))] == ["10.0.0.1"]


def test_pods_of_another_model_are_never_taken() -> None:
    other = Model(key=ModelKey(namespace="other", name="qca"), active_revision="qca-r1")
    assert endpoints_of(other, (_slice("r1", _ready("10.0.0.1")),)) == ()


def test_pods_that_speak_tls_count_only_for_a_gateway_that_has_a_certificate() -> None:
    body = {
        "metadata": {"namespace": "demo", "name": "qca-r1-x", "labels": {names.LABEL_MODEL: "qca"}},
        "endpoints": [_ready("10.0.0.1"), {"addresses": ["10.0.0.2"], "conditions": {"ready": False}}],
        "ports": [{"name": "grpc", "port": 9001, "appProtocol": names.APP_PROTOCOL_TLS}],
    }
    one = pod_slice_from_object(body)
    assert [endpoint.has_tls for endpoint in (*one.endpoints, *one.unready)] == [True, True]
    without = pod_slice_from_object(body, has_certificate=False)
    assert (without.endpoints, without.unready) == ((), ())
