"""Spans of OpenTelemetry: made only where its standard environment variables ask for them, from the extra `otel`.

The spans of one call: the server's call (by `transport.trace_spans`), and in it decode, queue, inference, encode. Calls
that are computed together also share a span `batch`, in the trace of the first of them, that links to the call of each.
Nothing here imports OpenTelemetry before it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from atheria_contract.trace_context import TraceContext
from atheria_contract.trace_export import TraceExportError, make_provider, shut_down
from atheria_server.core.errors import CallError, StartError
from atheria_server.current_trace import TRACE

SERVICE_NAME: Final = "atheria-server"
"""Unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise."""
_SPAN: Final[ContextVar[Any]] = ContextVar("atheria_span", default=None)
"""Of the server's call, in its task and the tasks made there."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Batch:
    span: Any
    calls: int
    rows: int
    open_calls: int


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    """Times are nanoseconds since the epoch; 0 = not yet."""

    server: Any
    arrived_at: int
    dispatched_at: int = 0
    computed_at: int = 0
    batch: _Batch | None = None


class Tracing:
    """Makes the spans. Everything is called from the server's one event loop."""

    def __init__(self, provider: Any, version: str) -> None:
        """`provider`: an opentelemetry.sdk.trace.TracerProvider, which is shut down with this."""
        self._api: Any = import_module("opentelemetry.trace")
        self._provider = provider
        self._tracer = provider.get_tracer("atheria", version)
        self._calls: dict[Hashable, _Call] = {}

    @contextmanager
    def server_call(self, name: str, attributes: Mapping[str, Any]) -> Iterator[Any]:
        """The span of a whole call, below the caller's if there is one; from here on the call is part of it.

        It stays the task's span after the block, as no task answers two calls at once.
        """
        span = self._tracer.start_span(
            name, context=self._remote(TRACE.get()), kind=self._api.SpanKind.SERVER, attributes=attributes
        )
        found = span.get_span_context()
        TRACE.set(
            TraceContext(
                trace_id=self._api.format_trace_id(found.trace_id),
                span_id=self._api.format_span_id(found.span_id),
                sampled=bool(found.trace_flags.sampled),
                state=found.trace_state.to_header(),
            )
        )
        _SPAN.set(span)
        try:
            yield span
        finally:
            span.end()

    @staticmethod
    def no_server_call() -> None:
        """This task answers something without a span."""
        _SPAN.set(None)

    @contextmanager
    def computing(self, call: Hashable, request_id: str) -> Iterator[None]:
        """While the call is in the engine: its spans queue and inference, written at the end of the block."""
        span = _SPAN.get()
        if span is None or not span.is_recording():
            yield
            return
        if request_id:
            span.set_attribute("atheria.request_id", request_id)
        times = self._calls[call] = _Call(server=span, arrived_at=time.time_ns())
        error = ""
        try:
            yield
        except CallError as failure:
            error = failure.reason
            raise
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            del self._calls[call]
            self._write(times, error)

    def timed(self, name: str, seconds: float) -> None:
        """A part of the current call that took these seconds and ends now."""
        span = _SPAN.get()
        if span is not None and span.is_recording():
            now = time.time_ns()
            self._part(span, name, now - round(seconds * 1e9), now)

    def batch_sent(self, members: Sequence[Hashable], rows: int) -> None:
        """These calls went to a worker together."""
        known = self._known(members)
        if not known:
            return
        now = time.time_ns()
        span = self._tracer.start_span(
            "batch",
            context=self._api.set_span_in_context(known[0].server),
            links=[self._api.Link(call.server.get_span_context()) for call in known],
            attributes={"atheria.batch.rows": rows, "atheria.batch.calls": len(members)},
            start_time=now,
        )
        batch = _Batch(span=span, calls=len(members), rows=rows, open_calls=len(known))
        for call in known:
            self._leave(call, now)  # of a worker that died: the call is tried again
            call.dispatched_at = now
            call.batch = batch

    def batch_computed(self, members: Sequence[Hashable]) -> None:
        """Their results are here."""
        now = time.time_ns()
        for call in self._known(members):
            call.computed_at = now
            if call.batch is not None and call.batch.span.is_recording():
                call.batch.span.end(now)

    def stream_sent(self, member: Hashable) -> None:
        """This stream went to a worker."""
        for call in self._known([member]):
            call.dispatched_at = time.time_ns()

    def shutdown(self) -> None:
        """Send what is left, for a bounded time."""
        shut_down(self._provider)

    def _known(self, members: Iterable[Hashable]) -> list[_Call]:
        return [self._calls[member] for member in members if member in self._calls]

    def _write(self, call: _Call, error: str) -> None:
        now = time.time_ns()
        self._part(call.server, "queue", call.arrived_at, call.dispatched_at or now, error=error)
        if not call.dispatched_at:
            return
        ended_at = call.computed_at or now
        batch = call.batch
        if batch is None:
            self._part(call.server, "inference", call.dispatched_at, ended_at, error=error)
            return
        self._part(
            call.server,
            "inference",
            call.dispatched_at,
            ended_at,
            error=error,
            attributes={"atheria.batch.rows": batch.rows, "atheria.batch.calls": batch.calls},
            links=[self._api.Link(batch.span.get_span_context())],
        )
        self._leave(call, now)

    @staticmethod
    def _leave(call: _Call, now: int) -> None:
        """A batch that failed, or that all its callers left, ends with the last of them."""
        batch = call.batch
        if batch is not None:
            batch.open_calls -= 1
            if not batch.open_calls and batch.span.is_recording():
                batch.span.end(now)

    def _part(self, parent: Any, name: str, began: int, ended: int, *, error: str = "", **more: Any) -> None:
        span = self._tracer.start_span(
            name, context=self._api.set_span_in_context(parent), start_time=began, **more
        )
        if error:
            span.set_attribute("error.type", error)
            span.set_status(self._api.StatusCode.ERROR)
        span.end(ended)

    def _remote(self, caller: TraceContext | None) -> Any:
        if caller is None:
            return import_module("opentelemetry.context").Context()
        context = self._api.SpanContext(
            trace_id=int(caller.trace_id, 16),
            span_id=int(caller.span_id, 16),
            is_remote=True,
            trace_flags=self._api.TraceFlags(int(caller.sampled)),
            trace_state=self._api.TraceState.from_header([caller.state]),
        )
        return self._api.set_span_in_context(self._api.NonRecordingSpan(context))


def start_tracing(environment: Mapping[str, str], version: str) -> Tracing | None:
    """None unless the environment asks for spans. Raises StartError if it does and the extra is not installed."""
    try:
        provider = make_provider(environment, service_name=SERVICE_NAME, version=version)
    except TraceExportError as error:
        raise StartError(str(error)) from error
    return None if provider is None else Tracing(provider, version)
