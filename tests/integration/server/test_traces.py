"""A caller's trace through a real server: exemplars, log lines, and the spans that a collector gets."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from tests.integration.server.collector import Collector, attributes
from tests.integration.server.harness import GATE_SOURCE, Gate, Server, StreamClient, eventually, tensor

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACEPARENT = ("traceparent", f"00-{ID}-{SPAN}-01")
NO_EXTRA = "the extra `otel` is not installed: no spans are sent to a collector here"
OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def metrics_as(server: Any, accept: str) -> tuple[str, str]:
    """The text and its content type."""
    request = urllib.request.Request(f"{server.http}/metrics", headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode(), answer.headers["content-type"]


def post_infer(server: Any, trace: tuple[str, str] = TRACEPARENT, **parameters: Any) -> int:
    """Status of a REST call."""
    document = {
        "id": "from-rest",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}],
        "parameters": parameters,
    }
    request = urllib.request.Request(
        f"{server.http}/v2/models/{server.name}/infer", json.dumps(document).encode(), dict([trace])
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_traced_call_is_an_example_in_openmetrics_and_only_there(gate_server: Any, stub: Any) -> None:
    by_grpc, by_rest = "a" * 32, "b" * 32
    stub.oip.ModelInfer(stub.request(), timeout=60, metadata=[("traceparent", f"00-{by_grpc}-{SPAN}-01")])
    text, kind = metrics_as(gate_server, OPEN_METRICS)
    assert kind.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.endswith("# EOF\n")
    assert f'# {{trace_id="{by_grpc}"}}' in text
    assert post_infer(gate_server, ("traceparent", f"00-{by_rest}-{SPAN}-01")) == 200
    assert f'# {{trace_id="{by_rest}"}}' in metrics_as(gate_server, OPEN_METRICS)[0]
    plain, kind = metrics_as(gate_server, "text/plain")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert by_rest not in plain
    assert "# EOF" not in plain


def test_the_log_of_a_failed_call_names_its_trace_and_its_request(gate_server: Any, stub: Any) -> None:
    with pytest.raises(grpc.RpcError):
        stub.oip.ModelInfer(stub.request(fail="by-grpc"), timeout=60, metadata=[TRACEPARENT])
    line = gate_server.wait_line(r"event=call_failed .*by-grpc.*").string
    assert "method=infer code=INTERNAL reason=MODEL_FAILED request_id='7'" in line
    assert line.endswith(f"trace_id={ID}")
    assert post_infer(gate_server, fail="by-rest") == 500
    line = gate_server.wait_line(r"event=call_failed .*by-rest.*").string
    assert "request_id='from-rest'" in line
    assert line.endswith(f"trace_id={ID}")


def test_a_call_after_a_traced_one_on_the_same_connection_has_no_trace(gate_server: Any, stub: Any) -> None:
    stub.oip.ModelInfer(stub.request(), timeout=60, metadata=[TRACEPARENT])
    with pytest.raises(grpc.RpcError):
        stub.infer(stub.request(fail="untraced"))
    assert "trace_id" not in gate_server.wait_line(r"event=call_failed .*untraced.*").string


def test_an_exporter_that_is_not_there_ends_the_start_and_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "no-such-exporter")
    server = Server(GATE_SOURCE, wait_ready=False)
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    assert "OTEL_TRACES_EXPORTER asks for spans" in server.lines[-1]
    assert "install atheria[otel]" in server.lines[-1]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.sdk.trace", reason=NO_EXTRA)
    made = Collector()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def traced_server(collector: Collector) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
        patch.setenv("OTEL_SERVICE_NAME", "gate")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with Server(GATE_SOURCE, "--max-latency", "10s") as server:
            yield server


def test_a_grpc_call_has_its_spans_below_the_callers(traced_server: Any, collector: Collector) -> None:
    trace = "c" * 32
    with traced_server.stub() as stub:
        stub.oip.ModelInfer(stub.request(), timeout=60, metadata=[("traceparent", f"00-{trace}-{SPAN}-01")])
    server = collector.one("inference.GRPCInferenceService/ModelInfer", trace)
    assert server.parent_span_id.hex() == SPAN
    assert attributes(server)["rpc.grpc.status_code"] == 0
    assert attributes(server)["atheria.request_id"] == "7"
    for name in ("decode", "queue", "inference", "encode"):
        assert collector.one(name, trace).parent_span_id == server.span_id, name
    batch = collector.one("batch", trace)
    assert [link.span_id for link in batch.links] == [server.span_id]
    assert collector.resource["service.name"] == "gate"


def test_a_batch_of_two_callers_is_linked_to_both(
    traced_server: Any, collector: Collector, gate: Gate
) -> None:
    traces = ["1" * 32, "2" * 32]
    with traced_server.stub() as stub:
        with gate.held(stub):
            calls = [
                stub.oip.ModelInfer.future(
                    stub.request(), timeout=60, metadata=[("traceparent", f"00-{trace}-{SPAN}-01")]
                )
                for trace in traces
            ]
            traced_server.wait_queue_depth(2)
        for call in calls:
            call.result()
    servers = [collector.one("inference.GRPCInferenceService/ModelInfer", trace) for trace in traces]
    inferences = [collector.one("inference", trace) for trace in traces]
    assert [attributes(inference)["atheria.batch.calls"] for inference in inferences] == [2, 2]
    [batch_id] = {link.span_id for inference in inferences for link in inference.links}
    [batch] = [span for span in collector.spans("batch") if span.span_id == batch_id]
    assert {link.span_id for link in batch.links} == {server.span_id for server in servers}


def test_a_rest_call_and_a_failed_one_have_their_spans(traced_server: Any, collector: Collector) -> None:
    good, bad = "d" * 32, "e" * 32
    assert post_infer(traced_server, ("traceparent", f"00-{good}-{SPAN}-01")) == 200
    assert post_infer(traced_server, ("traceparent", f"00-{bad}-{SPAN}-01"), fail="x") == 500
    server = collector.one("POST /v2/models/{name}/infer", good)
    assert attributes(server)["http.response.status_code"] == 200
    assert attributes(server)["url.path"] == "/v2/models/m/infer"
    for name in ("decode", "queue", "inference", "encode"):
        assert collector.one(name, good).parent_span_id == server.span_id, name
    failed = collector.one("POST /v2/models/{name}/infer", bad)
    assert attributes(failed)["http.response.status_code"] == 500
    assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert attributes(collector.one("inference", bad))["error.type"] == "MODEL_FAILED"


def test_a_stream_of_grpc_is_one_call_with_its_requests(traced_server: Any, collector: Collector) -> None:
    before = len(collector.spans("inference.GRPCInferenceService/ModelStreamInfer"))
    with StreamClient(traced_server.grpc) as client:
        client.send("m", [tensor("x", np.ones((1, 1), np.float32))], parameters={"count": 2})
        client.until_final()
    name = "inference.GRPCInferenceService/ModelStreamInfer"
    eventually("the stream's span", lambda: len(collector.spans(name)) > before)
    trace = collector.spans(name)[-1].trace_id.hex()
    assert collector.one("queue", trace)
    assert collector.one("inference", trace)
    assert len(collector.spans("encode", trace)) == 2


def test_the_last_spans_are_sent_before_the_server_ends(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace, before = "f" * 32, "e" * 32
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "40")
    with Server(GATE_SOURCE) as server:
        # The end has two seconds for it, without a first connection. What is more than forty stays until then.
        while not collector.all(before):
            assert post_infer(server, ("traceparent", f"00-{before}-{SPAN}-01")) == 200
        assert post_infer(server, ("traceparent", f"00-{trace}-{SPAN}-01")) == 200
    assert server.process.returncode == 0
    assert collector.one("inference", trace)
