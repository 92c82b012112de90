"""The span of a held call, `hold`, below Envoy's question about it; made only where a collector is named (extra `otel`).

runtime/check_service.py begins and ends it. Nothing here imports OpenTelemetry before app.py asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from atheria_contract.trace_context import TraceContext
from atheria_contract.trace_export import make_provider, shut_down

SERVICE_NAME: Final = "atheria-activator"
"""Unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise."""
SPAN: Final = "hold"
EVENT_SCALED: Final = "scaled from 0 to 1"


class HoldSpans:
    """Makes them. Everything is called from the activator's one event loop."""

    def __init__(self, provider: Any) -> None:
        """`provider`: an opentelemetry.sdk.trace.TracerProvider, which is shut down with this."""
        self._api: Any = import_module("opentelemetry.trace")
        self._provider = provider
        self._tracer = provider.get_tracer("atheria")

    def begin(self, parent: TraceContext | None, attributes: Mapping[str, str | int | float]) -> Any:
        """A span that is not ended. Without `parent` Envoy traces nothing, and it is never recorded."""
        if parent is None:
            return self._api.INVALID_SPAN
        context = self._api.SpanContext(
            trace_id=int(parent.trace_id, 16),
            span_id=int(parent.span_id, 16),
            is_remote=True,
            trace_flags=self._api.TraceFlags(int(parent.sampled)),
            trace_state=self._api.TraceState.from_header([parent.state]),
        )
        return self._tracer.start_span(
            SPAN,
            context=self._api.set_span_in_context(self._api.NonRecordingSpan(context)),
            kind=self._api.SpanKind.SERVER,
            attributes=attributes,
        )

    def end(
        self,
        span: Any,
        attributes: Mapping[str, str | int | float],
        *,
        failure: str,
        scaled_at_ns: int | None,
    ) -> None:
        """`failure` is empty for a call that went on; `scaled_at_ns`, since 1970, is when its model was last woken."""
        if span.is_recording():
            span.set_attributes(attributes)
            if scaled_at_ns is not None and scaled_at_ns >= span.start_time:
                span.add_event(EVENT_SCALED, timestamp=scaled_at_ns)
            if failure:
                span.set_status(self._api.Status(self._api.StatusCode.ERROR, failure))
        span.end()

    def shutdown(self) -> None:
        """Send what is left, for a bounded time."""
        shut_down(self._provider)


def start_hold_spans(environment: Mapping[str, str]) -> HoldSpans | None:
    """None unless the environment asks for spans. Raises TraceExportError (a ValueError) where they cannot be sent."""
    provider = make_provider(environment, service_name=SERVICE_NAME)
    return None if provider is None else HoldSpans(provider)
