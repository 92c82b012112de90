"""The Envoy resources say what the data path relies on."""

from __future__ import annotations

import json
from typing import Any

from envoy.config.core.v3 import health_check_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import routing_table
from atheria_gateway.xds.cluster_names import (
    ACTIVATOR_CLUSTER,
    ClusterOf,
    pods_cluster,
    read_cluster_name,
    serving_cluster,
)
from atheria_gateway.xds.clusters import POD_WINDOW_BYTES, PREMATURE_RESETS, build_cluster
from atheria_gateway.xds.load_assignments import build_load_assignment
from atheria_gateway.xds.routes import HEALTH_PREFIX, build_route_configuration

QCA = ModelKey(namespace="demo", name="qca")
KERR = ModelKey(namespace="demo", name="kerr")


def _anywhere(*models: ModelKey) -> Any:
    config = build_route_configuration("models", routing_table(models), "secret")
    return next(host for host in config.virtual_hosts if list(host.domains) == ["*"])


def test_a_clusters_name_tells_its_model_and_kind() -> None:
    for http in (False, True):
        assert read_cluster_name(serving_cluster(QCA, http=http)) == ClusterOf(
            model=QCA, http=http, pods_only=False
        )
        assert read_cluster_name(pods_cluster(QCA, http=http)) == ClusterOf(
            model=QCA, http=http, pods_only=True
        )
    for other in (ACTIVATOR_CLUSTER, "", "a/b/c", "a/b/pods/http"):
        assert read_cluster_name(other) is None


def test_every_model_has_a_virtual_host_of_its_names_that_leads_to_it_alone() -> None:
    config = build_route_configuration("models", routing_table([QCA, KERR]), "secret")
    host = next(host for host in config.virtual_hosts if host.name == "demo/qca")
    assert list(host.domains) == ["qca.demo", "qca.demo.svc", "qca.demo.svc.*"]
    assert [route.route.cluster for route in host.routes] == ["demo/qca", "demo/qca/http"]


def test_without_a_name_the_header_comes_first_then_the_rest_path_then_a_refusal() -> None:
    routes = list(_anywhere(QCA, KERR).routes)
    by_header = [route for route in routes if any(match.string_match.exact for match in route.match.headers)]
    assert [route.match.headers[0].string_match.exact for route in by_header] == ["demo/kerr"] * 2 + [
        "demo/qca"
    ] * 2
    assert routes[: len(by_header)] == by_header
    paths = [route.match.path_separated_prefix for route in routes if route.match.path_separated_prefix]
    assert paths == ["/v2/models/kerr"] * 2 + ["/v2/models/qca"] * 2
    assert routes[-1].direct_response.status == 404


def test_a_header_that_names_no_model_is_refused_even_when_there_is_only_one() -> None:
    routes = list(_anywhere(QCA).routes)
    refusals = [route for route in routes if route.direct_response.status]
    assert [route.match.headers[0].present_match for route in refusals] == [True, True]
    assert [route.route.cluster for route in routes[-2:]] == ["demo/qca", "demo/qca/http"]


def test_a_refusal_is_not_found_for_grpc_and_json_for_rest() -> None:
    for_grpc, for_rest = list(_anywhere().routes)[-2:]
    assert for_grpc.match.headers[0].string_match.prefix == "application/grpc"
    assert (
        for_grpc.response_headers_to_add[0].header.key,
        for_grpc.response_headers_to_add[0].header.value,
    ) == (
        "grpc-status",
        "5",
    )
    assert "atheria-model" in json.loads(for_rest.direct_response.body.inline_string)["error"]


def test_the_gateway_answers_health_checks_itself_when_no_model_is_meant() -> None:
    for models in ((), (QCA,), (QCA, KERR)):
        prefixes = [route.match.prefix for route in _anywhere(*models).routes]
        health = _anywhere(*models).routes[prefixes.index(HEALTH_PREFIX)]
        assert health.route.cluster == ACTIVATOR_CLUSTER
        unnamed = [
            route
            for route in _anywhere(*models).routes
            if route.match.prefix == "/" and not route.match.headers
        ]
        assert prefixes.index(HEALTH_PREFIX) < list(_anywhere(*models).routes).index(unnamed[0])


def test_only_calls_that_never_reached_a_pod_are_tried_again() -> None:
    retry = _anywhere(QCA).retry_policy
    assert set(retry.retry_on.split(",")) == {"connect-failure", "refused-stream", "retriable-headers"}
    assert {header.name: header.string_match.exact for header in retry.retriable_headers} == {
        "x-not-started": "secret",
        "atheria-refused": "draining",
    }


def test_no_call_has_a_time_limit_of_the_gateways() -> None:
    for route in _anywhere(QCA, KERR).routes:
        if "/" in route.route.cluster:
            assert route.route.HasField("timeout")
            assert route.route.timeout.ToMilliseconds() == 0


def test_pods_come_first_and_the_hold_takes_what_they_cannot() -> None:
    pods = (Endpoint(address="10.0.0.1", grpc_port=9001, http_port=9000),)
    serving = build_load_assignment("demo/qca", pods, http=False, hold_socket="/run/hold.sock")
    assert [group.priority for group in serving.endpoints] == [0, 1]
    assert serving.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value == 9001
    assert serving.endpoints[1].lb_endpoints[0].endpoint.address.pipe.path == "/run/hold.sock"
    assert serving.policy.overprovisioning_factor.value >= 100_000
    only_pods = build_load_assignment("demo/qca/http/pods", pods, http=True, hold_socket=None)
    assert [group.priority for group in only_pods.endpoints] == [0]
    assert only_pods.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value == 9000


def test_a_cluster_never_panics_waits_for_its_endpoints_and_bounds_what_it_buffers() -> None:
    cluster = build_cluster("demo/qca", http=False)
    assert cluster.common_lb_config.HasField("healthy_panic_threshold")
    assert cluster.common_lb_config.healthy_panic_threshold.value == 0.0
    assert cluster.eds_cluster_config.eds_config.HasField("initial_fetch_timeout")
    assert cluster.eds_cluster_config.eds_config.initial_fetch_timeout.ToMilliseconds() == 0
    assert cluster.per_connection_buffer_limit_bytes.value == POD_WINDOW_BYTES
    assert all(limits.max_retries.value > 1000 for limits in cluster.circuit_breakers.thresholds)


def test_calls_are_sent_again_only_when_no_pod_began_them_unless_the_model_may_compute_twice() -> None:
    config = build_route_configuration(
        "models", routing_table([QCA, KERR]), "secret", idempotent=frozenset({KERR})
    )
    for host in config.virtual_hosts:
        assert host.retry_policy.retry_on == "connect-failure,refused-stream,retriable-headers"
        for route in host.routes:
            model = (
                route.metadata.filter_metadata["atheria"]["model"] if route.metadata.filter_metadata else ""
            )
            own = route.route.retry_policy
            if model == "demo/kerr":
                assert own.retry_on == "connect-failure,refused-stream,retriable-headers,reset"
                assert own.num_retries.value <= 4
            else:
                assert not own.retry_on


def test_origins_are_allowed_for_every_host_and_none_by_default() -> None:
    table = routing_table([QCA])
    assert all(
        not host.typed_per_filter_config
        for host in build_route_configuration("models", table, "secret").virtual_hosts
    )
    config = build_route_configuration("models", table, "secret", cors_origins=("https://lab.example",))
    for host in config.virtual_hosts:
        policy = cors_pb2.CorsPolicy()
        assert host.typed_per_filter_config["envoy.filters.http.cors"].Unpack(policy)
        assert [match.exact for match in policy.allow_origin_string_match] == ["https://lab.example"]


def test_a_detained_models_pods_are_known_but_the_hold_takes_its_calls() -> None:
    pods = (Endpoint(address="10.0.0.1", revision="qca-r1"),)
    first, hold = build_load_assignment(
        "demo/qca", pods, http=False, hold_socket="/hold", is_detained=True
    ).endpoints
    assert [one.health_status for one in first.lb_endpoints] == [health_check_pb2.UNHEALTHY]
    assert first.lb_endpoints[0].metadata.filter_metadata["atheria"]["revision"] == "qca-r1"
    assert hold.priority == 1


def test_a_connection_never_carries_so_many_calls_that_envoys_guard_against_resets_closes_it() -> None:
    options = http_protocol_options_pb2.HttpProtocolOptions()
    build_cluster("demo/qca", http=False).typed_extension_protocol_options[
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    ].Unpack(options)
    assert options.common_http_protocol_options.max_requests_per_connection.value < PREMATURE_RESETS
