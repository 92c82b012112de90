"""The metrics' text in both formats, and which event moves which number. Names: tests/contract/test_metrics_lint.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from atheria_contract.trace_context import TraceContext
from atheria_server.core.bucket_labels import MAX_LABELS
from atheria_server.current_trace import TRACE
from atheria_server.engine.calls import Call, plain_call
from atheria_server.metrics import STAGES, ServerMetrics

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def metrics() -> ServerMetrics:
    return ServerMetrics(model="m", version="0")


def text(metrics: ServerMetrics, accept: str = "") -> str:
    return metrics.exposition(accept)[0].decode()


def samples(metrics: ServerMetrics, name: str, **labels: str) -> list[Any]:
    return [
        found
        for family in text_string_to_metric_families(text(metrics))
        for found in family.samples
        if found.name == name and labels.items() <= found.labels.items()
    ]


def sample(metrics: ServerMetrics, name: str, **labels: str) -> float:
    values = [found.value for found in samples(metrics, name, **labels)]
    assert values, name
    return sum(values)


def exemplars(metrics: ServerMetrics) -> list[tuple[str, str, Any]]:
    """Name, bound and exemplar of the buckets that have one, as a strict parser of OpenMetrics reads them."""
    return [
        (found.name, found.labels["le"], found.exemplar)
        for family in open_families(text(metrics, OPEN_METRICS))
        for found in family.samples
        if found.exemplar
    ]


def call(width: int, **parameters: int) -> Call:
    return plain_call({"x": np.zeros(width, np.float32)}, parameters, (), streaming=False)


@pytest.fixture
def traced() -> Iterator[None]:
    token = TRACE.set(TraceContext(trace_id=ID, span_id="00f067aa0ba902b7", sampled=True))
    yield
    TRACE.reset(token)


def test_every_stage_is_there_before_the_first_call(metrics: ServerMetrics) -> None:
    for stage in STAGES:
        assert sample(metrics, "atheria_stage_duration_seconds_count", stage=stage) == 0


def test_each_event_moves_its_stage(metrics: ServerMetrics) -> None:
    metrics.decoded(0.5)
    metrics.batch_sent(3, [0.25, 0.75])
    metrics.stream_sent(1.0)
    metrics.batch_computed(2.0, rows=3, calls=2, copy_seconds=0.0625, device_seconds=1.5)
    metrics.stream_computed(4.0, rows=1)
    metrics.encoded(0.125)
    found = {stage: sample(metrics, "atheria_stage_duration_seconds_sum", stage=stage) for stage in STAGES}
    assert found == {
        "decode": 0.5,
        "queue": 2.0,
        "inference": 6.0,
        "copy": 0.0625,
        "device": 1.5,
        "encode": 0.125,
    }
    assert sample(metrics, "atheria_queue_wait_seconds_sum") == 2.0
    assert sample(metrics, "atheria_inference_duration_seconds_sum") == 2.0


def test_a_worker_that_cannot_tell_copies_from_work_adds_nothing_to_them(metrics: ServerMetrics) -> None:
    metrics.batch_computed(2.0, rows=3, calls=2)
    assert sample(metrics, "atheria_stage_duration_seconds_count", stage="copy") == 0
    assert sample(metrics, "atheria_stage_duration_seconds_count", stage="device") == 0


def test_ends_of_calls_are_told_apart(metrics: ServerMetrics) -> None:
    metrics.call_ended("infer", "OK", 0.5)
    metrics.call_ended("infer", "CANCELLED", 0.5)
    metrics.call_ended("stream", "DEADLINE_EXCEEDED", 0.5)
    metrics.call_ended("infer", "RESOURCE_EXHAUSTED", 0.0)
    metrics.call_ended("infer", "RESOURCE_EXHAUSTED", 0.0)
    metrics.call_rejected("queue_full")
    metrics.worker_restarted()
    metrics.call_retried()
    metrics.compiled(2)
    metrics.frames_dropped(4)
    assert sample(metrics, "atheria_requests_total", method="infer", code="OK") == 1
    assert sample(metrics, "atheria_requests_total", method="infer", code="RESOURCE_EXHAUSTED") == 2
    assert sample(metrics, "atheria_request_duration_seconds_count", method="infer") == 4
    assert sample(metrics, "atheria_request_duration_seconds_sum", method="infer") == 1.0
    assert sample(metrics, "atheria_cancelled_requests_total") == 1
    assert sample(metrics, "atheria_expired_requests_total") == 1
    assert sample(metrics, "atheria_rejected_requests_total", reason="queue_full") == 1
    assert sample(metrics, "atheria_worker_restarts_total") == 1
    assert sample(metrics, "atheria_retried_requests_total") == 1
    assert sample(metrics, "atheria_compilations_total") == 2
    assert sample(metrics, "atheria_stream_frames_dropped_total") == 4


def test_model_statistics_count_the_same_events(metrics: ServerMetrics) -> None:
    metrics.call_ended("infer", "OK", 0.5)
    metrics.call_ended("infer", "INTERNAL", 0.25)
    metrics.decoded(0.5)
    metrics.batch_sent(3, [0.25, 0.5])
    metrics.encoded(0.125)
    found = metrics.statistics
    assert (found.success.count, found.fail.count) == (1, 1)
    assert (found.queue.count, found.queue.nanoseconds) == (2, 750_000_000)
    assert (found.compute_input.count, found.compute_input.nanoseconds) == (1, 500_000_000)
    assert (found.compute_output.count, found.compute_output.nanoseconds) == (1, 125_000_000)


def test_a_value_counts_in_its_own_bucket_and_in_all_larger_ones(metrics: ServerMetrics) -> None:
    metrics.batch_sent(8, [])  # on a bound: the bucket up to 8
    metrics.batch_sent(9, [])
    metrics.batch_sent(5000, [])
    found = {s.labels["le"]: s.value for s in samples(metrics, "atheria_batch_size_bucket")}
    assert (found["6.0"], found["8.0"], found["12.0"]) == (0, 1, 2)
    assert (found["1024.0"], found["+Inf"]) == (2, 3)
    assert sample(metrics, "atheria_batch_size_count") == 3
    assert sample(metrics, "atheria_batch_size_sum") == 5017


def test_batches_and_rows_are_counted_by_bucket_and_shapes_are_bounded(metrics: ServerMetrics) -> None:
    metrics.batch_sent(3, [0.1], [call(7, seed=1)])
    metrics.batch_sent(2, [0.1], [call(7, seed=2), call(7, seed=2)])
    assert sample(metrics, "atheria_bucket_batches_total", bucket="x:FP32[7]") == 2
    assert sample(metrics, "atheria_bucket_rows_total", bucket="x:FP32[7]") == 5
    for width in range(1, 200):
        metrics.batch_sent(1, [0.1], [call(width)])
    assert len(samples(metrics, "atheria_bucket_batches_total")) == MAX_LABELS + 1
    assert sample(metrics, "atheria_bucket_batches_total") == 201


def test_padding_is_what_was_computed_for_nothing(metrics: ServerMetrics) -> None:
    metrics.batch_padded(128, used=300, rows=4)
    metrics.batch_padded(128, used=100, rows=1)
    metrics.batch_padded(64, used=64, rows=1)
    assert sample(metrics, "atheria_sequence_positions_total", length="128") == 400
    assert sample(metrics, "atheria_padding_positions_total", length="128") == 5 * 128 - 400
    assert sample(metrics, "atheria_padding_positions_total", length="64") == 0
    for length in range(1000):
        metrics.batch_padded(length, used=1, rows=1)
    assert len(samples(metrics, "atheria_padding_positions_total")) == MAX_LABELS + 1


def test_the_process_shows_its_memory(metrics: ServerMetrics) -> None:
    assert sample(metrics, "process_resident_memory_bytes") > 1e6


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "application/json", "text/plain; version=x"])
def test_who_does_not_ask_for_openmetrics_gets_prometheus_text(metrics: ServerMetrics, accept: str) -> None:
    body, content_type = metrics.exposition(accept)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert not body.endswith(b"# EOF\n")
    assert b"# TYPE atheria_requests_total counter\n" in body


@pytest.mark.parametrize("accept", ["application/openmetrics-text", OPEN_METRICS, PROMETHEUS_2])
def test_who_asks_for_openmetrics_gets_it(metrics: ServerMetrics, accept: str) -> None:
    body, content_type = metrics.exposition(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert body.endswith(b"# EOF\n")
    assert body.count(b"# EOF") == 1
    assert b"# TYPE atheria_requests counter\n" in body
    assert list(open_families(body.decode()))


def test_a_version_that_is_no_number_is_no_error(metrics: ServerMetrics) -> None:
    _, content_type = metrics.exposition("application/openmetrics-text; version=x")
    assert content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.usefixtures("traced")
def test_a_call_of_a_sampled_trace_is_the_example_of_its_bucket(metrics: ServerMetrics) -> None:
    metrics.call_ended("infer", "OK", 0.07)
    [(name, bound, found)] = exemplars(metrics)
    assert (name, bound) == ("atheria_request_duration_seconds_bucket", "0.1")
    assert (found.labels, found.value) == ({"trace_id": ID}, 0.07)
    assert sample(metrics, "atheria_request_duration_seconds_count") == 1
    assert ID not in text(metrics)  # Prometheus text has no place for it


def test_a_call_without_a_trace_or_of_one_that_is_not_kept_is_no_example(metrics: ServerMetrics) -> None:
    metrics.call_ended("infer", "OK", 0.07)
    token = TRACE.set(TraceContext(trace_id=ID, span_id="00f067aa0ba902b7", sampled=False))
    metrics.call_ended("infer", "OK", 0.07)
    TRACE.reset(token)
    assert exemplars(metrics) == []
    assert sample(metrics, "atheria_request_duration_seconds_count") == 2
