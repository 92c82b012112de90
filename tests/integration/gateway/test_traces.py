"""One call through a real Envoy, the activator and a model server: its spans, log lines and exemplar name the same trace."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web

from atheria_contract.json_log import JsonFormatter
from atheria_gateway.collector import collector_of
from atheria_gateway.runtime.hold_spans import HoldSpans, start_hold_spans
from atheria_gateway.xds.access_log import AccessLog
from atheria_local.free_ports import free_port
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually
from tests.integration.server.collector import Collector, attributes
from tests.integration.server.harness import GATE_SOURCE, Server, Stub

pytestmark = pytest.mark.integration
MODEL = ("atheria-model", "demo/qca")
CALLER = "00f067aa0ba902b7"
SERVER = "inference.GRPCInferenceService/ModelInfer"
CHECK = "async envoy.service.auth.v3.Authorization.Check egress"
POD = {SERVER, "decode", "queue", "batch", "inference", "encode"}
WARM = {"gateway", "gateway forward", *POD}
HELD = {*WARM, "gateway hold", CHECK, "hold", "gateway hold forward"}
CLOCK_NS = 100_000_000
"""The spans come from three processes: their clock may be set in between."""


class JsonServer(Server):
    """A model server whose log is JSON; `lines` has the same as text, which the harness waits for."""

    def __init__(self, *arguments: str, name: str) -> None:
        self.entries: list[dict[str, Any]] = []
        super().__init__(*arguments, name=name)

    def _read(self) -> None:
        for line in self.process.stderr:
            entry = json.loads(line)
            self.entries.append(entry)
            self.lines.append(" ".join(f"{key}={value}" for key, value in entry.items()))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(collector: Collector) -> Iterator[JsonServer]:
    """Every call is slow to it, so that each one leaves a line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
        patch.setenv("OTEL_SERVICE_NAME", "qca")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("ATHERIA_LOG_FORMAT", "json")
        patch.setenv("ATHERIA_SLOW_CALL_SECONDS", "0.000001")
        starting = JsonServer(GATE_SOURCE, name="qca")
    with starting as one:
        yield one


@asynccontextmanager
async def traced_gateway(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[Any]:
    """A gateway that sends its spans where `environment` says, with model demo/qca at zero."""
    one = harness.Gateway(
        directory,
        hold_s=60.0,
        collector=collector_of(environment),
        tracing_secret=environment.get("ATHERIA_TRACING_SECRET", ""),
        access_log=AccessLog.ALL,
        log_format="json",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        for name, value in environment.items():
            patch.setenv(name, value)
        spans = one.spans = start_hold_spans(environment)
    assert isinstance(spans, HoldSpans)
    one.kube.put(Watched.MODELS, harness.model_object(QCA))
    one.kube.on_scale = lambda key: one.kube.put(Watched.MODELS, harness.model_object(key, replicas=1))
    try:
        await one.start_envoy()
        await one.start_activator()
        await one.wait_until_routed()
        yield one
    finally:
        await one.stop()
        await asyncio.to_thread(spans.shutdown)


@pytest.fixture
async def gateway(run_directory: Path, collector: Collector) -> AsyncIterator[Any]:
    """Its spans go to the collector of the tests."""
    async with traced_gateway(
        run_directory, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.address}"}
    ) as one:
        yield one


@pytest.fixture
def activator_log() -> Iterator[io.StringIO]:
    """What the activator logs, as JSON."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("atheria_gateway")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield log
    logger.removeHandler(handler)
    logger.setLevel(before)


def ports_of(server: JsonServer) -> tuple[int, int]:
    return int(server.grpc.rpartition(":")[2]), int(server.http.rpartition(":")[2])


async def infer(gateway: Any, *traceparent: str) -> None:
    """One call by gRPC; AssertionError unless it is answered."""

    def call() -> None:
        with Stub(f"127.0.0.1:{gateway.ports[0]}", "qca") as stub:
            metadata = [MODEL, *(("traceparent", one) for one in traceparent)]
            assert stub.oip.ModelInfer(stub.request(), timeout=60, metadata=metadata).outputs

    await asyncio.to_thread(call)


async def infer_held(gateway: Any, server: JsonServer, *traceparent: str) -> None:
    """One call at zero, whose pod comes while it waits."""
    call = asyncio.create_task(infer(gateway, *traceparent))
    await eventually("a held call", lambda: gateway.held() == 1)
    gateway.kube.set_pod(QCA, ports_of(server))
    await call


async def access_lines(gateway: Any, count: int) -> list[dict[str, Any]]:
    """The access log's lines, once there are so many."""

    def lines() -> list[dict[str, Any]]:
        written = (json.loads(line) for line in gateway.envoy_lines())
        return [line for line in written if "milliseconds" in line]

    await eventually(f"{count} lines of the access log", lambda: len(lines()) >= count)
    return lines()


def assert_nested(child: Any, parent: Any) -> None:
    assert child.parent_span_id == parent.span_id, f"{child.name} is not below {parent.name}"
    assert parent.start_time_unix_nano <= child.start_time_unix_nano + CLOCK_NS
    assert child.start_time_unix_nano <= child.end_time_unix_nano <= parent.end_time_unix_nano + CLOCK_NS


def assert_pod_below(trace: Mapping[str, Any], forward: str) -> None:
    assert_nested(trace[SERVER], trace[forward])
    for name in POD - {SERVER}:
        assert_nested(trace[name], trace[SERVER])
    assert trace["queue"].end_time_unix_nano <= trace["inference"].start_time_unix_nano + CLOCK_NS


async def test_a_held_call_is_one_trace_from_envoy_to_the_worker_and_all_logs_name_it(
    gateway: Any, server: JsonServer, collector: Collector, activator_log: io.StringIO
) -> None:
    await infer_held(gateway, server)
    [line] = await access_lines(gateway, 1)
    trace_id = line["trace_id"]
    assert re.fullmatch(r"[0-9a-f]{32}", trace_id)
    trace = await asyncio.to_thread(collector.trace_with, HELD, trace_id)
    assert trace["gateway"].parent_span_id == b"", "Envoy begins a trace where the caller has none"
    assert_nested(trace["gateway forward"], trace["gateway"])
    assert_nested(trace["gateway hold"], trace["gateway forward"])
    assert_nested(trace[CHECK], trace["gateway hold"])
    assert_nested(trace["hold"], trace[CHECK])
    assert_nested(trace["gateway hold forward"], trace["gateway hold"])
    assert_pod_below(trace, "gateway hold forward")
    assert trace["hold"].end_time_unix_nano <= trace[SERVER].start_time_unix_nano + CLOCK_NS

    senders = {name: collector.senders[trace[name].span_id]["service.name"] for name in trace}
    assert (senders["gateway"], senders["hold"], senders[SERVER]) == (
        "atheria-gateway",
        "atheria-activator",
        "qca",
    )
    hold = attributes(trace["hold"])
    assert hold["atheria.model"] == "demo/qca"
    assert hold["atheria.hold.reason"] == "scaled_to_zero"
    assert hold["atheria.hold.outcome"] == "released"
    assert hold["atheria.replicas.asked"] == 1
    assert 0 < hold["atheria.hold.seconds"] < 60
    assert [event.name for event in trace["hold"].events] == ["scaled from 0 to 1"]
    assert attributes(trace["gateway"])["atheria.model"] == "demo/qca"
    assert attributes(trace["gateway hold forward"])["atheria.revision"] == "qca-abc123"

    assert line["trace"].split("-")[1] == trace_id
    assert line["held_seconds"] is not None
    activator = [json.loads(text) for text in activator_log.getvalue().splitlines()]
    [held] = [one for one in activator if one.get("event") == "held"]
    assert (held["trace_id"], held["outcome"], held["reason"]) == (trace_id, "released", "scaled_to_zero")
    woken = [one for one in activator if "scaled from 0 to 1" in one.get("message", "")]
    assert {one["trace_id"] for one in woken} == {trace_id}
    await eventually(
        "the server's line", lambda: any(one.get("trace_id") == trace_id for one in server.entries)
    )
    [slow] = [one for one in server.entries if one.get("trace_id") == trace_id]
    assert (slow["event"], slow["model"], slow["code"], slow["request_id"]) == (
        "slow_call",
        "qca",
        "OK",
        "7",
    )
    # The event loop's own clock, of which the wait is a difference, may stand for a moment.
    assert slow["queue_seconds"] >= 0
    assert slow["seconds"] >= slow["inference_seconds"] > 0
    assert f'# {{trace_id="{trace_id}"}}' in await asyncio.to_thread(open_metrics, server)


async def test_a_warm_call_stays_in_its_callers_trace(
    gateway: Any, server: JsonServer, collector: Collector
) -> None:
    gateway.kube.set_pod(QCA, ports_of(server))
    await eventually(
        "the pod known to Envoy",
        lambda: gateway.active.is_settled and bool(gateway.active.world.ready_of(QCA)),
    )
    trace_id = "a" * 32
    await infer(gateway, f"00-{trace_id}-{CALLER}-01")
    trace = await asyncio.to_thread(collector.trace_with, WARM, trace_id)
    assert trace["gateway"].parent_span_id.hex() == CALLER
    assert_nested(trace["gateway forward"], trace["gateway"])
    assert_pod_below(trace, "gateway forward")
    assert trace.keys() == WARM
    [line] = await access_lines(gateway, 1)
    assert line["trace_id"] == trace_id


async def test_a_trace_that_its_caller_does_not_keep_has_no_span_anywhere(
    gateway: Any, server: JsonServer, collector: Collector
) -> None:
    unsampled, after = "c" * 32, "d" * 32
    await infer_held(gateway, server, f"00-{unsampled}-{CALLER}-00")
    await infer(gateway, f"00-{unsampled}-{CALLER}-00")
    await infer(gateway, f"00-{after}-{CALLER}-01")
    # Each process sends its spans in order: those of the calls before would be here.
    await asyncio.to_thread(collector.trace_with, WARM, after)
    assert collector.all(unsampled) == []
    assert {line["trace_id"] for line in await access_lines(gateway, 3)} == {unsampled, after}


def open_metrics(server: JsonServer) -> str:
    request = urllib.request.Request(
        f"{server.http}/metrics", headers={"accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("collector_is", ["silent", "away", "unknown"])
async def test_a_collector_that_takes_nothing_loses_no_call(
    run_directory: Path, pod: Any, collector_is: str
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if collector_is == "silent":
            # It takes connections and never says a word.
            listening.listen(64)
        host = "collector.invalid" if collector_is == "unknown" else "127.0.0.1"
        endpoint = f"http://{host}:{listening.getsockname()[1]}"
        async with (
            traced_gateway(run_directory, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}) as gateway,
            gateway.channel() as channel,
        ):
            unary = channel.unary_unary("/t.S/Unary")
            calls = [asyncio.ensure_future(_answer(unary(b"x", metadata=[MODEL]))) for _ in range(100)]
            await eventually("100 held calls", lambda: gateway.held() == 100)
            gateway.kube.set_pod(QCA, pod.ports)
            assert await asyncio.gather(*calls) == [b"x"] * 100
            for _ in range(10):
                more = (_answer(unary(b"y", metadata=[MODEL])) for _ in range(100))
                assert await asyncio.gather(*more) == [b"y"] * 100


async def _answer(call: Any) -> Any:
    return await call


def make_certificate(folder: Path) -> None:
    """`key` and, its own authority, `ca.crt`."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{folder}/key")
    name = ("-subj", "/CN=collector", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run(
        ["openssl", "req", "-x509", *key, *name, "-days", "2", "-out", f"{folder}/ca.crt"],
        check=True,
        capture_output=True,
        timeout=60,
    )


async def test_spans_go_to_a_collector_by_tls_with_the_headers_of_its_secret(
    run_directory: Path, tmp_path: Path, server: JsonServer
) -> None:
    make_certificate(tmp_path)
    (tmp_path / "headers").write_text("X-Api-Key=only-for-the-collector\n", encoding="utf-8")
    pair = ((tmp_path / "key").read_bytes(), (tmp_path / "ca.crt").read_bytes())
    secured = Collector(grpc.ssl_server_credentials([pair]))
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{secured.port}",
        "ATHERIA_TRACING_SECRET": str(tmp_path),
    }
    try:
        async with traced_gateway(run_directory, environment) as gateway:
            trace_id = "e" * 32
            await infer_held(gateway, server, f"00-{trace_id}-{CALLER}-01")
            await asyncio.to_thread(secured.trace_with, HELD - POD, trace_id)
        assert {one.get("x-api-key") for one in secured.metadata} == {"only-for-the-collector"}
        assert "only-for-the-collector" not in "".join(gateway.envoy_lines())
    finally:
        secured.stop()


async def test_envoy_sends_spans_by_http_as_well(run_directory: Path, pod: Any) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    reports: list[tuple[str, str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        report = ExportTraceServiceRequest.FromString(await request.read())
        names = [
            span.name for sent in report.resource_spans for scope in sent.scope_spans for span in scope.spans
        ]
        reports.append((request.path, request.content_type, names))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{tail:.*}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}/otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    try:
        async with traced_gateway(run_directory, environment) as gateway, gateway.channel() as channel:
            call = asyncio.ensure_future(_answer(channel.unary_unary("/t.S/Unary")(b"x", metadata=[MODEL])))
            await eventually("a held call", lambda: gateway.held() == 1)
            gateway.kube.set_pod(QCA, pod.ports)
            assert await call == b"x"
            await eventually("Envoy's spans", lambda: any("gateway" in names for _, _, names in reports))
            await eventually("the activator's", lambda: any("hold" in names for _, _, names in reports))
    finally:
        await runner.cleanup()
    assert {(path, kind) for path, kind, _ in reports} == {("/otlp/v1/traces", "application/x-protobuf")}
