"""Envoy's listeners: two for callers, the hold, and one for probes where the others speak TLS."""

from __future__ import annotations

from typing import Any, Final

from atheria_contract import names
from atheria_gateway.xds.access_log import to_activator, to_stdout
from atheria_gateway.xds.api_keys import key_filter
from atheria_gateway.xds.bootstrap_options import BootstrapOptions
from atheria_gateway.xds.cluster_names import (
    ACTIVATOR_CLUSTER,
    CHECK_LISTENER,
    HEADER_ARRIVED,
    HEADER_BROKEN,
    HEADER_NOT_STARTED,
    HEADER_TARGET,
    HOLD_LISTENER,
    METADATA,
    PRIVATE_HEADERS,
    ROUTE_CONFIG,
)
from atheria_gateway.xds.clusters import CALLER_WINDOW_BYTES, CONNECTION_WINDOW_BYTES, HOLD_WINDOW_BYTES
from atheria_gateway.xds.live_guard import live_filters
from atheria_gateway.xds.tls import transport_socket
from atheria_gateway.xds.tracing import (
    SPAN_CALL,
    SPAN_FORWARD,
    SPAN_HOLD,
    SPAN_HOLD_FORWARD,
    listener_tracing,
)

_TYPE: Final = "type.googleapis.com/envoy."
_HCM: Final = _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = {
    "name": "envoy.filters.http.router",
    "typed_config": {
        "@type": _TYPE + "extensions.filters.http.router.v3.Router",
        "suppress_envoy_headers": True,
    },
}
_GRPC_STATS: Final = {
    "name": "envoy.filters.http.grpc_stats",
    "typed_config": {
        "@type": _TYPE + "extensions.filters.http.grpc_stats.v3.FilterConfig",
        # Counted by status, not by the names of methods, which callers choose.
        "stats_for_all_methods": False,
    },
}
_HEALTH: Final = {
    "name": "envoy.filters.http.health_check",
    "typed_config": {
        "@type": _TYPE + "extensions.filters.http.health_check.v3.HealthCheck",
        "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}],
    },
}
_CORS: Final = {
    "name": "envoy.filters.http.cors",
    "typed_config": {"@type": _TYPE + "extensions.filters.http.cors.v3.Cors"},
}
_GRPC_WEB: Final = {
    "name": "envoy.filters.http.grpc_web",
    "typed_config": {"@type": _TYPE + "extensions.filters.http.grpc_web.v3.GrpcWeb"},
}
BY_ADS: Final = {
    "ads": {},
    "resource_api_version": "V3",
    # Without a limit: the ports open when the first routes are in, so a call never meets a gateway that knows no model.
    "initial_fetch_timeout": "0s",
}
LONGEST_HOLD: Final = "3600s"
"""Envoy makes the retry policy's max_interval the time limit of one check: it must exceed any hold."""
CHECK_RETRY_ON: Final = (
    "connect-failure,refused-stream,reset,unavailable,cancelled,internal,resource-exhausted"
)
_REFUSED: Final = {
    "extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": "response.code_details.contains('remote_refused_stream_reset')",
        },
    }
}
"""REFUSED_STREAM, or a GOAWAY that leaves the stream out: Envoy's flag (UR) is that of every reset."""
REVISION_OF_POD: Final = f"%METADATA(UPSTREAM_HOST:{METADATA}:revision)%"


def data_listener(name: str, options: BootstrapOptions, port: int) -> dict[str, Any]:
    """A port for callers; it takes gRPC, gRPC-Web, REST and WebSocket."""
    keys = (
        [key_filter(file=options.api_keys_file, forwards_key=options.forwards_key)]
        if options.api_keys_file
        else []
    )
    live = live_filters() if options.has_live_page else []
    manager = {
        "@type": _HCM,
        # One prefix for both ports: their figures belong together.
        "stat_prefix": "data",
        "codec_type": "AUTO",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "use_remote_address": True,
        "strip_trailing_host_dot": True,
        "normalize_path": True,
        "server_name": "atheria-gateway",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http2_protocol_options": {
            **_http2(CALLER_WINDOW_BYTES),
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        },
        "rds": {
            "route_config_name": ROUTE_CONFIG,
            "config_source": BY_ADS,
        },
        # Before the filters, which set some of these themselves.
        "early_header_mutation_extensions": [
            {
                "name": "private",
                "typed_config": {
                    "@type": _TYPE
                    + "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [{"remove": header} for header in PRIVATE_HEADERS],
                },
            }
        ],
        "access_log": to_stdout(options.access_log, is_traced=options.collector is not None),
        "http_filters": [_HEALTH, _CORS, _GRPC_WEB, *keys, *live, _GRPC_STATS, _ROUTER],
    }
    if options.collector is not None:
        manager["tracing"] = listener_tracing(
            options.collector, call=SPAN_CALL, forward=SPAN_FORWARD, is_first=True
        )
    address = {"socket_address": {"address": options.listen_address, "port_value": port}}
    listener = _listener(name, address, manager, CALLER_WINDOW_BYTES)
    if options.tls is not None:
        listener["filter_chains"][0]["transport_socket"] = transport_socket(options.tls, options.directory)
    return listener


def health_listener(options: BootstrapOptions) -> dict[str, Any]:
    """/healthz in plain text, and nothing else."""
    manager = {
        "@type": _HCM,
        "stat_prefix": "health",
        "route_config": {"name": "health", "virtual_hosts": []},
        "http_filters": [_HEALTH, _ROUTER],
    }
    address = {"socket_address": {"address": options.listen_address, "port_value": options.health_port}}
    return _listener("health", address, manager, HOLD_WINDOW_BYTES)


def hold_listener(options: BootstrapOptions) -> dict[str, Any]:
    """Where calls wait: it asks the activator, then sends the call to the pods that the data listener named."""
    check = {
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": _TYPE + "extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "failure_mode_allow": False,
            "status_on_error": {"code": "ServiceUnavailable"},
            "grpc_service": {
                "timeout": "0s",
                "envoy_grpc": {"cluster_name": CHECK_LISTENER},
                # Here, not in envoy_grpc, where it is ignored: this lets held calls outlive the activator.
                "retry_policy": {
                    "retry_on": CHECK_RETRY_ON,
                    "num_retries": 100_000,
                    "retry_back_off": {"base_interval": "0.02s", "max_interval": LONGEST_HOLD},
                },
            },
        },
    }
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster_header": HEADER_TARGET, "timeout": "0s"},
        "request_headers_to_remove": [HEADER_TARGET, HEADER_ARRIVED],
        "response_headers_to_remove": [HEADER_NOT_STARTED, HEADER_BROKEN],
        "response_headers_to_add": [_header(names.HEADER_REVISION, REVISION_OF_POD)],
    }
    manager = {
        "@type": _HCM,
        "stat_prefix": "hold",
        "codec_type": "AUTO",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http2_protocol_options": _http2(HOLD_WINDOW_BYTES),
        "local_reply_config": {
            "mappers": [
                # No pod saw it: overload and no healthy pod, connection or cluster; or the pod said that it did not begin it.
                _mark(HEADER_NOT_STARTED, options, [*_flags("UH", "UF", "UO", "NC"), _REFUSED]),
                _mark(HEADER_BROKEN, options, _flags("UC", "UR")),
            ]
        },
        "access_log": to_activator(),
        "route_config": {
            "name": HOLD_LISTENER,
            "virtual_hosts": [{"name": HOLD_LISTENER, "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [check, _ROUTER],
    }
    if options.collector is not None:
        manager["tracing"] = listener_tracing(
            options.collector, call=SPAN_HOLD, forward=SPAN_HOLD_FORWARD, is_first=False
        )
    return _listener(
        HOLD_LISTENER, {"pipe": {"path": options.hold_socket, "mode": 0o600}}, manager, HOLD_WINDOW_BYTES
    )


def check_listener(options: BootstrapOptions) -> dict[str, Any]:
    """Between the hold and the activator: asks again within half a second for as long as the activator is away.

    The check's own back-off grows up to LONGEST_HOLD: a call that met an activator that was away for 6 s waited up to 40 s more.
    """
    again = {
        "retry_on": CHECK_RETRY_ON,
        "num_retries": 1_000_000,
        "retry_back_off": {"base_interval": "0.02s", "max_interval": "0.5s"},
    }
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": ACTIVATOR_CLUSTER, "timeout": "0s", "retry_policy": again},
    }
    manager = {
        "@type": _HCM,
        "stat_prefix": "check",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "http2_protocol_options": _http2(HOLD_WINDOW_BYTES),
        "route_config": {
            "name": CHECK_LISTENER,
            "virtual_hosts": [{"name": CHECK_LISTENER, "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [_ROUTER],
    }
    return _listener(
        CHECK_LISTENER, {"pipe": {"path": options.check_socket, "mode": 0o600}}, manager, HOLD_WINDOW_BYTES
    )


def _mark(header: str, options: BootstrapOptions, filters: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the mappers the first that fits is taken."""
    return {
        "filter": {"or_filter": {"filters": filters}},
        "headers_to_add": [_header(header, options.not_started_token)],
    }


def _flags(*flags: str) -> list[dict[str, Any]]:
    return [{"response_flag_filter": {"flags": [flag]}} for flag in flags]


def _header(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _http2(window_bytes: int) -> dict[str, Any]:
    return {
        "initial_stream_window_size": window_bytes,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
        "max_concurrent_streams": 100_000,
    }


def _listener(
    name: str, address: dict[str, Any], manager: dict[str, Any], window_bytes: int
) -> dict[str, Any]:
    return {
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": window_bytes,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
