"""The receiving side of OTLP over gRPC, in place of a collector such as Tempo or Jaeger: for bench/traces and for tests."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from typing import Any, Final

import grpc

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_WHERE: Final = "127.0.0.1:0"


def trace_server(
    take: Callable[[Any, dict[str, Any]], None], credentials: grpc.ServerCredentials | None = None
) -> tuple[grpc.Server, int]:
    """A server and its port; to be started. With `credentials` it speaks TLS.

    `take` gets each ExportTraceServiceRequest and its metadata, on a thread of the server. ImportError without OpenTelemetry's messages.
    """
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

    answer = trace.ExportTraceServiceResponse()

    def export(request: Any, context: Any) -> Any:
        take(request, dict(context.invocation_metadata()))
        return answer

    handler = grpc.unary_unary_rpc_method_handler(
        export, trace.ExportTraceServiceRequest.FromString, lambda sent: sent.SerializeToString()
    )
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
    port = server.add_secure_port(_WHERE, credentials) if credentials else server.add_insecure_port(_WHERE)
    return server, port
