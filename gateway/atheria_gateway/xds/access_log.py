"""Lines that Envoy writes about calls: one JSON object a call on the standard output, without bodies, keys or queries."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.xds.cluster_names import ACTIVATOR_CLUSTER, HEADER_CALLER

_TYPE: Final = "type.googleapis.com/envoy."


class AccessLog(StrEnum):
    """Which calls are written down."""

    ALL = "all"
    PROBLEMS = "problems"
    """Those that were held, tried again, cut off or answered with an error."""
    OFF = "off"


FORMAT: Final = {
    "time": "%START_TIME%",
    "model": "%METADATA(ROUTE:atheria:model)%",
    "revision": f"%RESP({names.HEADER_REVISION})%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "milliseconds": "%DURATION%",
    "held_seconds": f"%RESP({names.HEADER_HELD})%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "pod": "%UPSTREAM_HOST%",
    "caller": f"%REQ({HEADER_CALLER})%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "received_bytes": "%BYTES_RECEIVED%",
    "sent_bytes": "%BYTES_SENT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace": "%REQ(TRACEPARENT)%",
}
_TRACE_ID: Final = {"trace_id": "%TRACE_ID%"}
_PROBLEM: Final = (
    f"'{names.HEADER_HELD}' in response.headers || response.code >= 400 || response.flags != 0 "
    "|| (has(response.grpc_status) && response.grpc_status != 0) || request.headers['x-envoy-attempt-count'] != '1'"
)


def to_stdout(which: AccessLog, *, is_traced: bool = False) -> list[dict[str, Any]]:
    """`access_log` of a data listener; `is_traced`: it makes spans, and so knows the trace of every call."""
    if which is AccessLog.OFF:
        return []
    log: dict[str, Any] = {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": {**FORMAT, **(_TRACE_ID if is_traced else {})}},
        },
    }
    if which is AccessLog.PROBLEMS:
        log["filter"] = {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {
                    "@type": _TYPE + "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                    "expression": _PROBLEM,
                },
            }
        }
    return [log]


def to_activator() -> list[dict[str, Any]]:
    """`access_log` of the hold listener: the end of every call, at once, so that the next one may go on."""
    return [
        {
            "name": "envoy.access_loggers.http_grpc",
            "typed_config": {
                "@type": _TYPE + "extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
                "common_config": {
                    "log_name": "hold",
                    "transport_api_version": "V3",
                    "grpc_service": {"envoy_grpc": {"cluster_name": ACTIVATOR_CLUSTER}},
                    "buffer_flush_interval": "0.01s",
                    "buffer_size_bytes": 0,
                },
            },
        }
    ]
