"""Envoy's bootstrap: the listeners, the activator cluster and ADS. Everything about models comes by ADS."""

from __future__ import annotations

from typing import Any, Final

from atheria_contract import names
from atheria_gateway.xds.bootstrap_options import BootstrapOptions
from atheria_gateway.xds.cluster_names import ACTIVATOR_CLUSTER, CHECK_LISTENER, LIVE_CLUSTER
from atheria_gateway.xds.clusters import PREMATURE_RESETS, UNBOUNDED
from atheria_gateway.xds.listeners import (
    BY_ADS,
    check_listener,
    data_listener,
    health_listener,
    hold_listener,
)
from atheria_gateway.xds.tracing import collector_cluster, flush_settings

_TYPE: Final = "type.googleapis.com/envoy."
LATENCY_BUCKETS_MS: Final = tuple(round(1.25**power, 2) for power in range(68))
"""From 1 ms to an hour, each a quarter longer than the one before: a percentile is known to a few percent."""
LOG_FORMAT: Final = {"time": "%Y-%m-%dT%H:%M:%S.%eZ", "level": "%l", "logger": "envoy.%n", "message": "%j"}
"""Of Envoy's own lines, with the keys that the other parts use."""
TRACKED_BYTES_POWER: Final = 17
"""Streams that hold at least 128 KiB are the first to be reset when memory ends."""

LIVE_CONNECTIONS: Final = 4
LIVE_WAITING: Final = 64
"""Questions for the live page's figures that wait for one of these connections; further ones get 503."""


def build_bootstrap(options: BootstrapOptions) -> dict[str, Any]:
    """The bootstrap as JSON-ready data (JSON is YAML, so Envoy reads it under either ending)."""
    listeners = [
        data_listener(names.PORT_NAME_GRPC, options, options.grpc_port),
        data_listener(names.PORT_NAME_HTTP, options, options.http_port),
        hold_listener(options),
        check_listener(options),
    ]
    if options.tls is not None:
        listeners.append(health_listener(options))
    bootstrap: dict[str, Any] = {
        "node": {"id": options.node_id, "cluster": "atheria-gateway"},
        "admin": {"address": {"pipe": {"path": options.admin_socket, "mode": 0o660}}},
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"suffix": ".upstream_rq_time"}, "buckets": list(LATENCY_BUCKETS_MS)}
            ]
        },
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {"overload": {"premature_reset_total_stream_count": PREMATURE_RESETS}},
                }
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
            "cds_config": BY_ADS,
        },
        "static_resources": {
            "listeners": listeners,
            "clusters": [
                _socket_cluster(ACTIVATOR_CLUSTER, options.activator_socket),
                _socket_cluster(CHECK_LISTENER, options.check_socket),
            ],
        },
    }
    if options.has_live_page:
        bootstrap["static_resources"]["clusters"].append(_live_cluster(options.live_socket))
    if options.is_json_log:
        bootstrap["application_log_config"] = {"log_format": {"json_format": LOG_FORMAT}}
    if options.collector is not None:
        bootstrap["static_resources"]["clusters"].append(collector_cluster(options.collector))
        bootstrap["layered_runtime"]["layers"][0]["static_layer"] |= flush_settings()
    if options.memory_bytes:
        bootstrap["overload_manager"] = _overload_manager(options.memory_bytes)
    return bootstrap


def _overload_manager(memory_bytes: int) -> dict[str, Any]:
    """The last line of defence, where the alternative is to be killed with every call: see `memory_bytes`."""
    heap = "envoy.resource_monitors.fixed_heap"
    # The process takes more than its heap.
    monitor = {"@type": _TYPE + "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"}
    return {
        "refresh_interval": "0.1s",
        "resource_monitors": [
            {"name": heap, "typed_config": {**monitor, "max_heap_size_bytes": memory_bytes * 9 // 10}}
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": TRACKED_BYTES_POWER},
        "actions": [
            {
                "name": "envoy.overload_actions.shrink_heap",
                "triggers": [{"name": heap, "threshold": {"value": 0.85}}],
            },
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": heap, "threshold": {"value": 0.90}}],
            },
            {
                "name": "envoy.overload_actions.reset_high_memory_stream",
                "triggers": [
                    {"name": heap, "scaled": {"scaling_threshold": 0.92, "saturation_threshold": 0.98}}
                ],
            },
        ],
    }


def _live_cluster(socket: str) -> dict[str, Any]:
    """The activator's figures for the live page: few at once, so that many pages cannot keep it from its calls."""
    limits = {
        "max_connections": LIVE_CONNECTIONS,
        "max_pending_requests": LIVE_WAITING,
        "max_requests": LIVE_CONNECTIONS + LIVE_WAITING,
        "max_retries": 0,
    }
    return {
        "name": LIVE_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": _at_socket(LIVE_CLUSTER, socket),
    }


def _at_socket(name: str, socket: str) -> dict[str, Any]:
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": socket}}}}]}],
    }


def _socket_cluster(name: str, socket: str) -> dict[str, Any]:
    limits = {
        "max_connections": UNBOUNDED,
        "max_pending_requests": UNBOUNDED,
        "max_requests": UNBOUNDED,
        "max_retries": UNBOUNDED,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits, {**limits, "priority": "HIGH"}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": _at_socket(name, socket),
    }
