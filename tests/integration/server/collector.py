"""Takes spans by OTLP over gRPC and keeps them, in place of a collector such as Tempo or Jaeger."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from bench.otlp import trace_server


class Collector:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """With `credentials` it speaks TLS."""
        pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        self._received: queue.Queue[Any] = queue.Queue()
        self._spans: list[Any] = []
        self.resource: dict[str, str] = {}
        """Of all senders together."""
        self.senders: dict[bytes, dict[str, str]] = {}
        """Resource attributes by span id."""
        self.metadata: list[dict[str, Any]] = []
        """Of each report."""
        self._server, self.port = trace_server(self._take, credentials)
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait(10)

    def all(self, trace_id: str = "") -> list[Any]:
        """The spans so far, of one trace if it is given."""
        while not self._received.empty():
            for sent in self._received.get().resource_spans:
                sender = {a.key: a.value.string_value for a in sent.resource.attributes}
                self.resource.update(sender)
                for span in (span for scope in sent.scope_spans for span in scope.spans):
                    self._spans.append(span)
                    self.senders[span.span_id] = sender
        return [span for span in self._spans if trace_id in ("", span.trace_id.hex())]

    def spans(self, name: str, trace_id: str = "") -> list[Any]:
        """Those of that name."""
        return [span for span in self.all(trace_id) if span.name == name]

    def one(self, name: str, trace_id: str) -> Any:
        """The only span of that name in the trace; waits for it."""
        [found] = self._eventually(f"a span {name} of {trace_id}", lambda: self.spans(name, trace_id))
        return found

    def trace_with(self, names: set[str], trace_id: str) -> dict[str, Any]:
        """The trace's spans by name, once each of these is there."""

        def look() -> dict[str, Any]:
            found = {span.name: span for span in self.all(trace_id)}
            return found if names <= found.keys() else {}

        there = lambda: sorted(span.name for span in self.all(trace_id))  # noqa: E731
        return dict(self._eventually(f"{sorted(names)} in {trace_id}", look, there))

    @staticmethod
    def _eventually(what: str, look: Callable[[], Any], there: Callable[[], Any] = str) -> Any:
        end = time.monotonic() + 60
        while True:
            if value := look():
                return value
            assert time.monotonic() < end, f"waited 60 s for {what}; there is {there()}"
            time.sleep(0.01)

    def _take(self, request: Any, metadata: dict[str, Any]) -> None:
        self.metadata.append(metadata)
        self._received.put(request)


def attributes(span: Any) -> dict[str, Any]:
    """Of one span."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}
