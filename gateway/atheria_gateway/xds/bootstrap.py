"""Envoy's bootstrap: the listeners, the activator cluster and ADS. Everything about models comes by ADS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.xds.cluster_names import (
    ACTIVATOR_CLUSTER,
    HEADER_NOT_STARTED,
    HEADER_TARGET,
    HOLD_LISTENER,
    ROUTE_CONFIG,
)
from atheria_gateway.xds.clusters import (
    CALLER_WINDOW_BYTES,
    CONNECTION_WINDOW_BYTES,
    POD_WINDOW_BYTES,
    UNBOUNDED,
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
_BY_ADS: Final = {
    "ads": {},
    "resource_api_version": "V3",
    # Without a limit: the ports open when the first routes are in, so a call never meets a gateway that knows no model.
    "initial_fetch_timeout": "0s",
}
LATENCY_BUCKETS_MS: Final = tuple(round(1.25**power, 2) for power in range(68))
"""From 1 ms to an hour, each a quarter longer than the one before: a percentile is known to a few percent."""
LONGEST_HOLD: Final = "3600s"
"""Envoy makes the retry policy's max_interval the time limit of one check: it must exceed any hold."""
CHECK_RETRY_ON: Final = (
    "connect-failure,refused-stream,reset,unavailable,cancelled,internal,resource-exhausted"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapOptions:
    """What differs between gateways."""

    node_id: str
    run_directory: str
    """Folder of the unix sockets that Envoy and the activator share."""
    not_started_token: str
    listen_address: str = "0.0.0.0"
    grpc_port: int = names.PORT_GRPC
    http_port: int = names.PORT_HTTP

    @property
    def activator_socket(self) -> str:
        """Where the activator serves ADS and checks."""
        return f"{self.run_directory}/activator.sock"

    @property
    def hold_socket(self) -> str:
        """Where the hold listener listens."""
        return f"{self.run_directory}/hold.sock"

    @property
    def admin_socket(self) -> str:
        """Where Envoy's admin interface listens."""
        return f"{self.run_directory}/admin.sock"


def build_bootstrap(options: BootstrapOptions) -> dict[str, Any]:
    """The bootstrap as JSON-ready data (JSON is YAML, so Envoy reads it under either ending)."""
    return {
        "node": {"id": options.node_id, "cluster": "atheria-gateway"},
        "admin": {"address": {"pipe": {"path": options.admin_socket, "mode": 0o660}}},
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": ".upstream_rq_time"}, "buckets": list(LATENCY_BUCKETS_MS)}
            ]
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": ACTIVATOR_CLUSTER,
                            # A restarted activator is found within a second; Envoy's own back-off grows to 30 s.
                            "retry_policy": {
                                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}
                            },
                        }
                    }
                ],
                "set_node_on_first_message_only": True,
            },
            "cds_config": _BY_ADS,
        },
        "static_resources": {
            "listeners": [
                _data_listener(names.PORT_NAME_GRPC, options, options.grpc_port),
                _data_listener(names.PORT_NAME_HTTP, options, options.http_port),
                _hold_listener(options),
            ],
            "clusters": [_activator_cluster(options)],
        },
    }


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


def _data_listener(name: str, options: BootstrapOptions, port: int) -> dict[str, Any]:
    health = {
        "name": "envoy.filters.http.health_check",
        "typed_config": {
            "@type": _TYPE + "extensions.filters.http.health_check.v3.HealthCheck",
            "pass_through_mode": False,
            "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}],
        },
    }
    manager = {
        "@type": _HCM,
        # One prefix for both ports: their figures belong together.
        "stat_prefix": "data",
        "codec_type": "AUTO",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "use_remote_address": True,
        "strip_any_host_port": True,
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
            "config_source": _BY_ADS,
        },
        "http_filters": [health, _GRPC_STATS, _ROUTER],
    }
    address = {"socket_address": {"address": options.listen_address, "port_value": port}}
    return _listener(name, address, manager, CALLER_WINDOW_BYTES)


def _hold_listener(options: BootstrapOptions) -> dict[str, Any]:
    never_started = [{"response_flag_filter": {"flags": [flag]}} for flag in ("UH", "UF", "UO", "NC")]
    check = {
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": _TYPE + "extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "failure_mode_allow": False,
            "status_on_error": {"code": "ServiceUnavailable"},
            "grpc_service": {
                "timeout": "0s",
                "envoy_grpc": {"cluster_name": ACTIVATOR_CLUSTER},
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
        "request_headers_to_remove": [HEADER_TARGET],
        "response_headers_to_remove": [HEADER_NOT_STARTED],
    }
    manager = {
        "@type": _HCM,
        "stat_prefix": "hold",
        "codec_type": "AUTO",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http2_protocol_options": _http2(POD_WINDOW_BYTES),
        "local_reply_config": {
            "mappers": [
                {
                    "filter": {"or_filter": {"filters": never_started}},
                    "headers_to_add": [
                        {
                            "header": {"key": HEADER_NOT_STARTED, "value": options.not_started_token},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        }
                    ],
                }
            ]
        },
        "route_config": {
            "name": HOLD_LISTENER,
            "virtual_hosts": [{"name": HOLD_LISTENER, "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [check, _ROUTER],
    }
    return _listener(
        HOLD_LISTENER, {"pipe": {"path": options.hold_socket, "mode": 0o600}}, manager, POD_WINDOW_BYTES
    )


def _activator_cluster(options: BootstrapOptions) -> dict[str, Any]:
    limits = {
        "max_connections": UNBOUNDED,
        "max_pending_requests": UNBOUNDED,
        "max_requests": UNBOUNDED,
        "max_retries": UNBOUNDED,
    }
    return {
        "name": ACTIVATOR_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits, {**limits, "priority": "HIGH"}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": ACTIVATOR_CLUSTER,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": options.activator_socket}}}}]}
            ],
        },
    }
