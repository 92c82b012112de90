"""Envoy's own spans: where they go, which calls get them, and the cluster that leads to the collector.

Made by the settings from OpenTelemetry's standard variables; xds/bootstrap.py and xds/listeners.py use it only where a collector is
named. Spans wait in a bounded buffer and are thrown away where the collector does not take them: no call waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from atheria_gateway.xds.cluster_names import METADATA

_TYPE: Final = "type.googleapis.com/envoy."
COLLECTOR_CLUSTER: Final = "collector"
SERVICE_NAME: Final = "atheria-gateway"
SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Of the gateway's image."""
EXPORT_TIMEOUT: Final = "5s"
"""For one report to the collector."""
WAITING_SPANS: Final = 4096
"""Of each of Envoy's workers, until they are sent; further ones are thrown away."""
REPORTS_AT_ONCE: Final = 16
"""To a collector that answers slowly; further ones are thrown away."""
LONGEST_PATH: Final = 256
"""Characters of a call's path in its span."""
_FLUSH_MS: Final = 1000
_FLUSH_SPANS: Final = 64

SPAN_CALL: Final = "gateway"
"""A whole call at the port for callers."""
SPAN_FORWARD: Final = "gateway forward"
"""One try of it: to a pod, or to the hold; its tag upstream_cluster says to which."""
SPAN_HOLD: Final = "gateway hold"
"""The call at the hold listener: the question to the activator, then the way to a pod."""
SPAN_HOLD_FORWARD: Final = "gateway hold forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Who takes the spans, by OTLP."""

    host: str
    port: int
    is_tls: bool = False
    is_grpc: bool = True
    """OTLP over gRPC; otherwise over HTTP with protobuf."""
    path: str = "/v1/traces"
    """Only over HTTP."""
    authority_file: str = ""
    """PEM of the authority of its certificate; empty = those of the system."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with each report: credentials."""
    sampled_ratio: float = 1.0
    """Part of the calls that get spans, of those whose callers did not decide it by `traceparent`."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Of the resource, e.g. the pod's name."""


def listener_tracing(collector: Collector, *, call: str, forward: str, is_first: bool) -> dict[str, Any]:
    """`tracing` of a connection manager whose spans have these names.

    `is_first`: a trace may begin here. Who sends `traceparent` has decided; no header of Envoy's own asks for spans.
    """
    percent = {"value": collector.sampled_ratio * 100 if is_first else 0}
    return {
        "client_sampling": {"value": 0},
        "random_sampling": percent,
        "overall_sampling": {"value": 100},
        "spawn_upstream_span": True,
        "operation": call,
        "upstream_operation": forward,
        "max_path_tag_length": LONGEST_PATH,
        "custom_tags": [
            # In place of Envoy's own, which has the query.
            {"tag": "http.url", "value": "%PATH(NQ)%"},
            {
                "tag": "atheria.model",
                "metadata": {
                    "kind": {"route": {}},
                    "metadata_key": {"key": METADATA, "path": [{"key": "model"}]},
                },
            },
            {
                "tag": "atheria.revision",
                "metadata": {
                    "kind": {"host": {}},
                    "metadata_key": {"key": METADATA, "path": [{"key": "revision"}]},
                },
            },
        ],
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": _tracer(collector)},
    }


def collector_cluster(collector: Collector) -> dict[str, Any]:
    """Found by DNS; Envoy starts without it."""
    limits = {"max_requests": REPORTS_AT_ONCE, "max_pending_requests": REPORTS_AT_ONCE, "max_retries": 0}
    cluster: dict[str, Any] = {
        "name": COLLECTOR_CLUSTER,
        # Of a name with several addresses, of both kinds, the first that answers is taken.
        "type": "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        # Calls do not wait for a collector that cannot be found.
        "wait_for_warm_on_init": False,
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": COLLECTOR_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {
                                    "socket_address": {
                                        "address": collector.host,
                                        "port_value": collector.port,
                                    }
                                }
                            }
                        }
                    ]
                }
            ],
        },
    }
    if collector.is_grpc:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    if collector.is_tls:
        cluster["transport_socket"] = _tls(collector)
    return cluster


def flush_settings() -> dict[str, Any]:
    """Of Envoy's runtime: spans are sent each second, or as soon as so many wait."""
    return {"tracing": {"opentelemetry": {"flush_interval_ms": _FLUSH_MS, "min_flush_spans": _FLUSH_SPANS}}}


def _tracer(collector: Collector) -> dict[str, Any]:
    headers = [{"key": key, "value": value} for key, value in collector.headers]
    tracer: dict[str, Any] = {
        "@type": _TYPE + "config.trace.v3.OpenTelemetryConfig",
        "service_name": SERVICE_NAME,
        "max_cache_size": WAITING_SPANS,
    }
    if collector.attributes:
        tracer["resource_detectors"] = [
            {
                "name": "envoy.tracers.opentelemetry.resource_detectors.static_config",
                "typed_config": {
                    "@type": _TYPE
                    + "extensions.tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig",
                    "attributes": dict(collector.attributes),
                },
            }
        ]
    if collector.is_grpc:
        tracer["grpc_service"] = {
            "envoy_grpc": {
                "cluster_name": COLLECTOR_CLUSTER,
                "authority": f"{collector.host}:{collector.port}",
            },
            "timeout": EXPORT_TIMEOUT,
            "initial_metadata": headers,
        }
    else:
        scheme = "https" if collector.is_tls else "http"
        tracer["http_service"] = {
            "http_uri": {
                "uri": f"{scheme}://{collector.host}:{collector.port}{collector.path}",
                "cluster": COLLECTOR_CLUSTER,
                "timeout": EXPORT_TIMEOUT,
            },
            "request_headers_to_add": [{"header": one} for one in headers],
        }
    return tracer


def _tls(collector: Collector) -> dict[str, Any]:
    kind = "IP_ADDRESS" if _is_address(collector.host) else "DNS"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({"sni": collector.host} if kind == "DNS" else {}),
            "common_tls_context": {
                "alpn_protocols": ["h2"] if collector.is_grpc else ["http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "validation_context": {
                    "trusted_ca": {"filename": collector.authority_file or SYSTEM_AUTHORITIES},
                    "match_typed_subject_alt_names": [
                        {"san_type": kind, "matcher": {"exact": collector.host}}
                    ],
                },
            },
        },
    }


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
