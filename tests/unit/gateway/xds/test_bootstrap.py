"""Envoy's bootstrap: valid for Envoy's own types, with the settings that decide over lost calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2
from envoy.extensions.filters.http.health_check.v3 import health_check_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from google.protobuf import json_format

from atheria_gateway.__main__ import main
from atheria_gateway.xds.bootstrap import BootstrapOptions, build_bootstrap

# Importing a type registers it, so that json_format can read it inside an Any.
_REGISTERED = (
    ext_authz_pb2,
    config_pb2,
    health_check_pb2,
    router_pb2,
    http_connection_manager_pb2,
    http_protocol_options_pb2,
)


def _bootstrap() -> dict[str, Any]:
    return build_bootstrap(
        BootstrapOptions(node_id="gateway-0", run_directory="/run/atheria", not_started_token="secret")
    )


def _managers() -> dict[str, dict[str, Any]]:
    return {
        listener["name"]: listener["filter_chains"][0]["filters"][0]["typed_config"]
        for listener in _bootstrap()["static_resources"]["listeners"]
    }


def test_envoys_own_types_accept_it() -> None:
    message = json_format.ParseDict(_bootstrap(), bootstrap_pb2.Bootstrap())
    assert message.node.id == "gateway-0"
    assert [listener.name for listener in message.static_resources.listeners] == ["grpc", "http", "hold"]


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
    (mapper,) = manager["local_reply_config"]["mappers"]
    assert mapper["headers_to_add"][0]["header"] == {"key": "x-not-started", "value": "secret"}
    route = manager["route_config"]["virtual_hosts"][0]["routes"][0]
    assert "x-not-started" in route["response_headers_to_remove"]


def test_the_activators_cluster_does_not_bound_held_calls() -> None:
    (cluster,) = _bootstrap()["static_resources"]["clusters"]
    for limits in cluster["circuit_breakers"]["thresholds"]:
        assert (
            min(limits[key] for key in ("max_requests", "max_pending_requests", "max_retries")) >= 1_000_000
        )


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
