"""Takes spans by OTLP over gRPC, in place of a collector such as Tempo or Jaeger."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from bench.otlp import trace_server

_OURS: Final = "atheria."
"""Others name addresses of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """As much of a span as the picture shows."""

    service: str
    name: str
    span_id: str
    parent_id: str
    trace_id: str
    began_s: float
    """Seconds since 1970."""
    ended_s: float
    attributes: dict[str, Any]
    events: tuple[tuple[str, float], ...]
    """Name and time of each."""


class Collector:
    """`with Collector() as one:` listens on `address`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._server, port = trace_server(self._take)
        self.address = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(10)

    def spans(self) -> list[Span]:
        """All so far, by their beginning."""
        with self._lock:
            return sorted(self._spans, key=lambda span: span.began_s)

    def _take(self, request: Any, _: dict[str, Any]) -> None:
        found = [
            _span(span, {a.key: a.value.string_value for a in sent.resource.attributes})
            for sent in request.resource_spans
            for scope in sent.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += found


def _span(span: Any, resource: dict[str, str]) -> Span:
    return Span(
        service=resource.get("service.name", ""),
        name=span.name,
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        trace_id=span.trace_id.hex(),
        began_s=span.start_time_unix_nano / 1e9,
        ended_s=span.end_time_unix_nano / 1e9,
        attributes={
            a.key: getattr(a.value, str(a.value.WhichOneof("value")))
            for a in span.attributes
            if a.key.startswith(_OURS)
        },
        events=tuple((event.name, event.time_unix_nano / 1e9) for event in span.events),
    )
