"""Envoy's bootstrap: valid for Envoy's own types, with the settings that decide over lost calls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.trace.v3 import opentelemetry_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2
from envoy.extensions.filters.http.health_check.v3 import health_check_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.resource_monitors.fixed_heap.v3 import fixed_heap_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import static_config_resource_detector_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format

from atheria_gateway.__main__ import main
from atheria_gateway.xds.access_log import AccessLog
from atheria_gateway.xds.bootstrap import build_bootstrap
from atheria_gateway.xds.bootstrap_options import BootstrapOptions
from atheria_gateway.xds.cluster_names import LIVE_CLUSTER, PRIVATE_HEADERS
from atheria_gateway.xds.live_guard import FIGURES_FILTER, STREAM_FILTER
from atheria_gateway.xds.tls import TlsFiles
from atheria_gateway.xds.tracing import Collector

# Importing a type registers it, so that json_format can read it inside an Any.
_REGISTERED = (
    ext_authz_pb2,
    config_pb2,
    health_check_pb2,
    router_pb2,
    als_pb2,
    cel_pb2,
    cors_pb2,
    fixed_heap_pb2,
    grpc_web_pb2,
    header_mutation_pb2,
    local_rate_limit_pb2,
    lua_pb2,
    stream_pb2,
    tls_pb2,
    http_connection_manager_pb2,
    http_protocol_options_pb2,
    opentelemetry_pb2,
    static_config_resource_detector_pb2,
)


def _bootstrap(**changes: Any) -> dict[str, Any]:
    return build_bootstrap(
        BootstrapOptions(
            node_id="gateway-0", run_directory="/run/atheria", not_started_token="secret", **changes
        )
    )


def _managers(**changes: Any) -> dict[str, dict[str, Any]]:
    return {
        listener["name"]: listener["filter_chains"][0]["filters"][0]["typed_config"]
        for listener in _bootstrap(**changes)["static_resources"]["listeners"]
    }


def test_envoys_own_types_accept_it() -> None:
    message = json_format.ParseDict(_bootstrap(), bootstrap_pb2.Bootstrap())
    assert message.node.id == "gateway-0"
    names = [listener.name for listener in message.static_resources.listeners]
    assert names == ["grpc", "http", "hold", "check"]


def test_envoys_own_types_accept_every_option() -> None:
    options = _bootstrap(
        tls=TlsFiles(certificate="/tls/tls.crt", key="/tls/tls.key", client_authority="/ca/ca.crt"),
        api_keys_file="/keys/keys",
        memory_bytes=2**30,
        has_live_page=True,
    )
    message = json_format.ParseDict(options, bootstrap_pb2.Bootstrap())
    names = [listener.name for listener in message.static_resources.listeners]
    assert names == ["grpc", "http", "hold", "check", "health"]
    assert {action.name.rpartition(".")[2] for action in message.overload_manager.actions} == {
        "shrink_heap",
        "stop_accepting_requests",
        "reset_high_memory_stream",
    }


def test_what_passes_between_the_listeners_cannot_come_from_outside() -> None:
    for name in ("grpc", "http"):
        (extension,) = _managers()[name]["early_header_mutation_extensions"]
        removed = {one["remove"] for one in extension["typed_config"]["mutations"]}
        assert removed == set(PRIVATE_HEADERS)


def test_the_live_page_is_guarded_behind_the_keys_and_its_figures_are_few_at_once() -> None:
    filters = _managers(api_keys_file="/k", has_live_page=True)["http"]["http_filters"]
    names = [one["name"] for one in filters]
    assert names[-5:-2] == ["envoy.filters.http.lua", STREAM_FILTER, FIGURES_FILTER]
    # Other calls do not pass them: their routes would have to switch them on.
    assert {one["name"] for one in filters if one.get("disabled")} == {STREAM_FILTER, FIGURES_FILTER}
    clusters = {one["name"]: one for one in _bootstrap(has_live_page=True)["static_resources"]["clusters"]}
    (limits,) = clusters[LIVE_CLUSTER]["circuit_breakers"]["thresholds"]
    assert limits["max_connections"] <= 8
    assert limits["max_pending_requests"] <= 100
    assert LIVE_CLUSTER not in {one["name"] for one in _bootstrap()["static_resources"]["clusters"]}


def test_keys_are_asked_for_behind_cors_and_before_anything_counts_the_call() -> None:
    filters = [
        one["name"].rpartition(".")[2] for one in _managers(api_keys_file="/k")["grpc"]["http_filters"]
    ]
    assert filters == ["health_check", "cors", "grpc_web", "lua", "grpc_stats", "router"]
    assert "lua" not in str(_managers()["grpc"]["http_filters"])


def test_the_access_log_has_no_query_no_key_and_no_body() -> None:
    (log,) = _managers()["grpc"]["access_log"]
    text = json.dumps(log).lower()
    assert "%path(nq)%" in text
    assert "authorization" not in text
    assert _managers(access_log=AccessLog.OFF)["grpc"]["access_log"] == []


def test_a_check_outlives_its_activator_and_is_never_cut_off() -> None:
    check = _managers()["hold"]["http_filters"][0]["typed_config"]
    service = check["grpc_service"]
    assert service["timeout"] == "0s"
    assert service["retry_policy"]["num_retries"] >= 1000
    assert service["retry_policy"]["retry_back_off"]["max_interval"] == "3600s"
    assert {"cancelled", "unavailable", "reset", "connect-failure"} <= set(
        service["retry_policy"]["retry_on"].split(",")
    )
    assert check["failure_mode_allow"] is False


def test_the_ports_open_only_with_routes_and_no_call_is_cut_off_by_time() -> None:
    for name in ("grpc", "http"):
        manager = _managers()[name]
        assert manager["rds"]["config_source"]["initial_fetch_timeout"] == "0s"
        assert manager["stream_idle_timeout"] == manager["request_timeout"] == "0s"


def test_the_hold_marks_calls_that_never_reached_a_pod_and_removes_the_mark_from_pods_answers() -> None:
    manager = _managers()["hold"]
    never, broken = manager["local_reply_config"]["mappers"]
    assert never["headers_to_add"][0]["header"] == {"key": "x-not-started", "value": "secret"}
    *flags, refused = never["filter"]["or_filter"]["filters"]
    assert [one["response_flag_filter"]["flags"] for one in flags] == [["UH"], ["UF"], ["UO"], ["NC"]]
    assert "remote_refused_stream_reset" in refused["extension_filter"]["typed_config"]["expression"]
    assert broken["headers_to_add"][0]["header"] == {"key": "x-atheria-broken", "value": "secret"}
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]
    assert "x-not-started" in route["response_headers_to_remove"]


def test_neither_cluster_on_the_way_to_the_activator_bounds_held_calls() -> None:
    clusters = _bootstrap()["static_resources"]["clusters"]
    assert [cluster["name"] for cluster in clusters] == ["activator", "check"]
    for cluster in clusters:
        for limits in cluster["circuit_breakers"]["thresholds"]:
            bounds = [limits[key] for key in ("max_requests", "max_pending_requests", "max_retries")]
            assert min(bounds) >= 1_000_000


def test_a_held_call_asks_a_missing_activator_again_within_half_a_second() -> None:
    managers = _managers()
    check = managers["hold"]["http_filters"][0]["typed_config"]["grpc_service"]
    assert check["envoy_grpc"] == {"cluster_name": "check"}
    route = managers["check"]["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    assert route["cluster"] == "activator"
    assert route["timeout"] == "0s"
    assert route["retry_policy"]["retry_back_off"]["max_interval"] == "0.5s"


def test_the_command_writes_the_file_and_keeps_the_secret_of_an_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("ATHERIA_RUN_DIRECTORY", str(run))
    arguments = ["bootstrap", "--out", str(tmp_path / "out"), "--grpc-port", "9001", "--http-port", "9000"]
    assert main(arguments) == 0
    secret = (run / "not-started.token").read_text(encoding="utf-8")
    assert (run / "not-started.token").stat().st_mode & 0o777 == 0o600
    assert main(arguments) == 0
    assert (run / "not-started.token").read_text(encoding="utf-8") == secret
    written = json.loads((tmp_path / "out" / "bootstrap.yaml").read_text(encoding="utf-8"))
    ports = [
        listener["address"]["socket_address"]["port_value"]
        for listener in written["static_resources"]["listeners"]
        if "socket_address" in listener["address"]
    ]
    assert ports == [9001, 9000]


def test_a_wrong_setting_ends_the_command_with_the_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATHERIA_HOLD_SECONDS", "soon")
    with pytest.raises(SystemExit) as ended:
        main(["bootstrap"])
    assert ended.value.code == 2
    assert "ATHERIA_HOLD_SECONDS is 'soon', allowed is a number from 1 to 3500" in capsys.readouterr().err


COLLECTOR = Collector(
    host="otel.monitoring", port=4317, sampled_ratio=0.25, attributes=(("k8s.pod.name", "gateway-0"),)
)


@pytest.mark.parametrize(
    "collector",
    [
        COLLECTOR,
        replace(COLLECTOR, is_grpc=False),
        replace(
            COLLECTOR, is_tls=True, authority_file="/etc/atheria/tracing/ca.crt", headers=(("x-key", "1"),)
        ),
        replace(COLLECTOR, is_tls=True, is_grpc=False, host="10.0.0.1"),
    ],
)
def test_envoys_own_types_accept_every_way_to_a_collector(collector: Collector) -> None:
    found = json_format.ParseDict(_bootstrap(collector=collector), bootstrap_pb2.Bootstrap())
    assert found.static_resources.clusters[-1].name == "collector"


def test_without_a_collector_nothing_of_the_bootstrap_is_about_spans() -> None:
    text = json.dumps(_bootstrap())
    assert "tracing" not in text
    assert "TRACE_ID" not in text
    assert "collector" not in text


def test_a_trace_begins_at_the_callers_ports_and_nowhere_else() -> None:
    found = _managers(collector=COLLECTOR)
    ratios = {
        name: one["tracing"]["random_sampling"]["value"] for name, one in found.items() if "tracing" in one
    }
    assert ratios == {"grpc": 25, "http": 25, "hold": 0}
    # Only `traceparent` asks for spans.
    assert {one["tracing"]["client_sampling"]["value"] for one in found.values() if "tracing" in one} == {0}


def test_spans_wait_in_bounded_buffers_and_envoy_does_not_wait_for_the_collector() -> None:
    bootstrap = _bootstrap(collector=COLLECTOR)
    [cluster] = [one for one in bootstrap["static_resources"]["clusters"] if one["name"] == "collector"]
    assert cluster["wait_for_warm_on_init"] is False
    [limits] = cluster["circuit_breakers"]["thresholds"]
    assert limits == {"max_requests": 16, "max_pending_requests": 16, "max_retries": 0}
    tracer = _managers(collector=COLLECTOR)["grpc"]["tracing"]["provider"]["typed_config"]
    assert tracer["max_cache_size"] == 4096
    assert tracer["grpc_service"]["timeout"] == "5s"


def test_the_certificate_of_a_collector_must_name_its_host() -> None:
    [cluster] = [
        one
        for one in _bootstrap(collector=replace(COLLECTOR, is_tls=True))["static_resources"]["clusters"]
        if one["name"] == "collector"
    ]
    context = cluster["transport_socket"]["typed_config"]
    assert context["sni"] == "otel.monitoring"
    checked = context["common_tls_context"]["validation_context"]
    assert checked["trusted_ca"] == {"filename": "/etc/ssl/certs/ca-certificates.crt"}
    assert checked["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": "otel.monitoring"}}
    ]
