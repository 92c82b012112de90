"""The span of a held call, by OpenTelemetry's own in-memory exporter."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_contract.trace_context import TraceContext
from atheria_contract.trace_export import TraceExportError
from atheria_gateway.runtime.hold_spans import HoldSpans, start_hold_spans

PARENT = TraceContext(trace_id="4" * 32, span_id="5" * 16, sampled=True, state="a=1")


@pytest.fixture
def made() -> tuple[HoldSpans, Any]:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return HoldSpans(provider), exporter


def test_it_is_below_envoys_question_and_says_why_the_call_was_held_and_how_that_ended(
    made: tuple[HoldSpans, Any],
) -> None:
    spans, exporter = made
    span = spans.begin(PARENT, {"atheria.hold.reason": "scaled_to_zero"})
    spans.end(span, {"atheria.hold.outcome": "released"}, failure="", scaled_at_ns=span.start_time + 5)
    [ended] = exporter.get_finished_spans()
    assert (f"{ended.parent.trace_id:032x}", f"{ended.parent.span_id:016x}") == ("4" * 32, "5" * 16)
    assert ended.name == "hold"
    assert dict(ended.attributes) == {
        "atheria.hold.reason": "scaled_to_zero",
        "atheria.hold.outcome": "released",
    }
    [event] = ended.events
    assert (event.name, event.timestamp) == ("scaled from 0 to 1", span.start_time + 5)
    assert ended.status.is_unset
    assert ended.context.trace_state.get("a") == "1"


def test_a_refused_call_is_an_error_and_a_wake_before_it_came_is_not_its_own(
    made: tuple[HoldSpans, Any],
) -> None:
    spans, exporter = made
    span = spans.begin(PARENT, {})
    spans.end(span, {}, failure="no ready pod for 60 s", scaled_at_ns=span.start_time - 1)
    [ended] = exporter.get_finished_spans()
    assert not ended.events
    assert not ended.status.is_ok
    assert ended.status.description == "no ready pod for 60 s"


@pytest.mark.parametrize("parent", [None, TraceContext(trace_id="4" * 32, span_id="5" * 16, sampled=False)])
def test_a_call_that_envoy_does_not_record_is_not_recorded_here(
    made: tuple[HoldSpans, Any], parent: TraceContext | None
) -> None:
    spans, exporter = made
    span = spans.begin(parent, {"a": 1})
    spans.end(span, {"b": 2}, failure="x", scaled_at_ns=1)
    assert exporter.get_finished_spans() == ()


def test_there_are_none_unless_they_are_asked_for_and_what_cannot_be_sent_is_refused() -> None:
    assert start_hold_spans({}) is None
    pytest.importorskip("opentelemetry.sdk.trace")
    with pytest.raises(TraceExportError, match="exporter 'no-such' is not installed"):
        start_hold_spans({"OTEL_TRACES_EXPORTER": "no-such"})
