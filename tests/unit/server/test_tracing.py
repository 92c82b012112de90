"""When spans are made, and which: their times, parents and links, by OpenTelemetry's own in-memory exporter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from atheria_contract.trace_context import TraceContext
from atheria_server.core.errors import ExpiredError, StartError
from atheria_server.current_trace import TRACE
from atheria_server.tracing import Tracing, start_tracing

NO_EXTRA = "the extra `otel` is not installed: the spans are not tested here"
PARENT = TraceContext(
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", sampled=True, state="a=1"
)
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


class Spans:
    """A tracing whose spans stay here."""

    def __init__(self) -> None:
        sdk = pytest.importorskip("opentelemetry.sdk.trace", reason=NO_EXTRA)
        export = pytest.importorskip("opentelemetry.sdk.trace.export", reason=NO_EXTRA)
        memory = pytest.importorskip(
            "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason=NO_EXTRA
        )
        self._exporter = memory.InMemorySpanExporter()
        provider = sdk.TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider, "0")

    def named(self, name: str) -> list[Any]:
        """The ended spans of that name."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> Any:
        [found] = self.named(name)
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.tracing.shutdown()


async def in_a_call(spans: Spans, work: Any, parent: TraceContext | None = None) -> Any:
    """`work()` inside a server call, in a task of its own as a transport has it."""

    async def call() -> Any:
        TRACE.set(parent)
        with spans.tracing.server_call("call", {"rpc.method": "ModelInfer"}):
            return await work()

    return await asyncio.create_task(call())


def test_nothing_is_imported_while_spans_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert start_tracing({}, "0") is None


def test_without_the_extra_the_start_says_which_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(
        StartError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT asks for spans, but .* install atheria\[otel\]"
    ):
        start_tracing(ENDPOINT, "0")


def test_an_exporter_that_is_not_installed_is_named() -> None:
    pytest.importorskip("opentelemetry.sdk.trace", reason=NO_EXTRA)
    with pytest.raises(StartError, match=r"exporter 'zipkin' is not installed: install atheria\[otel\]"):
        start_tracing({"OTEL_TRACES_EXPORTER": "zipkin"}, "0")


async def test_the_servers_span_continues_the_callers_trace(spans: Spans) -> None:
    async def look() -> TraceContext | None:
        return TRACE.get()

    inside = await in_a_call(spans, look, PARENT)
    span = spans.one("call")
    assert f"{span.context.trace_id:032x}" == PARENT.trace_id
    assert f"{span.parent.span_id:016x}" == PARENT.span_id
    assert span.context.trace_state.to_header() == "a=1"
    assert inside == TraceContext(
        trace_id=PARENT.trace_id, span_id=f"{span.context.span_id:016x}", sampled=True, state="a=1"
    )


async def test_without_a_caller_a_trace_begins_which_log_and_metrics_then_name(spans: Spans) -> None:
    async def look() -> TraceContext | None:
        return TRACE.get()

    inside = await in_a_call(spans, look)
    span = spans.one("call")
    assert span.parent is None
    assert inside is not None
    assert inside.trace_id == f"{span.context.trace_id:032x}"


async def test_a_call_has_decode_queue_inference_and_encode(spans: Spans) -> None:
    async def work() -> None:
        call = object()
        spans.tracing.timed("decode", 0.25)
        with spans.tracing.computing(call, "r-1"):
            spans.tracing.batch_sent([call], 3)
            spans.tracing.batch_computed([call])
        spans.tracing.timed("encode", 0.5)

    await in_a_call(spans, work)
    server = spans.one("call")
    parts = [spans.one(name) for name in ("decode", "queue", "inference", "encode")]
    assert all(part.parent.span_id == server.context.span_id for part in parts)
    decode, queue, inference, encode = parts
    assert decode.end_time - decode.start_time == 250_000_000
    assert encode.end_time - encode.start_time == 500_000_000
    assert decode.end_time <= queue.start_time <= queue.end_time == inference.start_time
    assert inference.end_time <= encode.end_time <= server.end_time
    assert server.attributes["atheria.request_id"] == "r-1"
    assert dict(inference.attributes) == {"atheria.batch.rows": 3, "atheria.batch.calls": 1}


async def test_a_batch_links_to_every_caller_and_every_caller_to_the_batch(spans: Spans) -> None:
    calls = [object(), object(), object()]
    arrived = [asyncio.Event() for _ in calls]
    computed = asyncio.Event()

    async def one(index: int) -> None:
        async def work() -> None:
            with spans.tracing.computing(calls[index], ""):
                arrived[index].set()
                await computed.wait()

        await in_a_call(spans, work)

    tasks = [asyncio.create_task(one(index)) for index in range(3)]
    async with asyncio.timeout(10):
        for event in arrived:
            await event.wait()
        spans.tracing.batch_sent(calls, 7)
        spans.tracing.batch_computed(calls)
        computed.set()
        await asyncio.gather(*tasks)
    batch = spans.one("batch")
    servers = {span.context.span_id for span in spans.named("call")}
    assert {link.context.span_id for link in batch.links} == servers
    assert dict(batch.attributes) == {"atheria.batch.rows": 7, "atheria.batch.calls": 3}
    inferences = spans.named("inference")
    assert {span.parent.span_id for span in inferences} == servers
    assert all([link.context.span_id for link in i.links] == [batch.context.span_id] for i in inferences)
    assert all(batch.start_time == i.start_time and batch.end_time >= i.end_time for i in inferences)


async def test_a_call_that_never_left_the_queue_has_no_inference(spans: Spans) -> None:
    async def work() -> None:
        with spans.tracing.computing(object(), ""):
            raise ExpiredError("too late")

    with pytest.raises(ExpiredError):
        await in_a_call(spans, work)
    queue = spans.one("queue")
    assert queue.attributes["error.type"] == "EXPIRED"
    assert not queue.status.is_ok
    assert spans.named("inference") == []


async def test_a_batch_that_failed_ends_with_its_last_call(spans: Spans) -> None:
    async def work() -> None:
        call = object()
        with spans.tracing.computing(call, ""):
            spans.tracing.batch_sent([call], 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await in_a_call(spans, work)
    assert spans.one("inference").attributes["error.type"] == "RuntimeError"
    assert spans.one("batch").end_time is not None


async def test_a_call_that_is_tried_again_ends_the_batch_of_its_first_worker(spans: Spans) -> None:
    async def work() -> None:
        call = object()
        with spans.tracing.computing(call, ""):
            spans.tracing.batch_sent([call], 1)
            spans.tracing.batch_sent([call], 1)
            spans.tracing.batch_computed([call])

    await in_a_call(spans, work)
    assert len(spans.named("batch")) == 2


async def test_a_stream_has_queue_and_inference_without_a_batch(spans: Spans) -> None:
    async def work() -> None:
        call = object()
        with spans.tracing.computing(call, ""):
            spans.tracing.stream_sent(call)

    await in_a_call(spans, work)
    assert spans.one("queue").end_time == spans.one("inference").start_time
    assert spans.named("batch") == []


async def test_a_trace_that_the_caller_does_not_keep_is_not_recorded_here(spans: Spans) -> None:
    async def work() -> None:
        call = object()
        spans.tracing.timed("decode", 0.1)
        with spans.tracing.computing(call, ""):
            spans.tracing.batch_sent([call], 1)
            spans.tracing.batch_computed([call])

    unsampled = TraceContext(trace_id=PARENT.trace_id, span_id=PARENT.span_id, sampled=False)
    await in_a_call(spans, work, unsampled)
    assert [spans.named(name) for name in ("call", "decode", "queue", "inference", "batch")] == [[]] * 5
