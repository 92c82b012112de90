"""One queue, one batcher: what is computed together, what is not, and what happens to those that cannot wait."""

from __future__ import annotations

import time
from typing import Any

import grpc
import numpy as np
import pytest

from tests.integration.server.harness import arrays, eventually


def test_a_lone_request_is_dispatched_at_once_when_idle(gate_server: Any, stub: Any) -> None:
    # The configured latency is 10 s; a server that waited for a fuller batch would miss this deadline.
    assert stub.infer(stub.request(), timeout=8)["rows"].tolist() == [1.0]


def test_calls_that_wait_together_are_computed_together(gate_server: Any, stub: Any, gate: Any) -> None:
    with gate.held(stub):
        calls = [stub.begin(stub.request([[float(i)]])) for i in range(5)]
        gate_server.wait_queue_depth(5)
    results = [arrays(call.result()) for call in calls]
    assert [r["rows"].tolist() for r in results] == [[5.0]] * 5
    assert [r["y"].item() for r in results] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_batch_never_has_more_rows_than_allowed(gate_server: Any, stub: Any, gate: Any) -> None:
    with gate.held(stub):
        calls = [stub.begin(stub.request(np.ones((3, 1)))) for _ in range(4)]
        gate_server.wait_in_flight(5)
        # A full batch is sent ahead to the busy worker: two calls fit into eight rows.
        gate_server.wait_queue_depth(2)
    assert [arrays(call.result())["rows"][0] for call in calls] == [6.0, 6.0, 6.0, 6.0]


def test_shapes_and_parameters_that_differ_are_computed_apart(gate_server: Any, stub: Any, gate: Any) -> None:
    with gate.held(stub):
        requests = [
            stub.request([[1.0]]),
            stub.request([[1.0, 2.0]]),
            stub.request([[1.0]], tag=1),
            stub.request([[2.0]]),
            stub.request([[1.0]], tag=True),
        ]
        calls = [stub.begin(request) for request in requests]
        gate_server.wait_queue_depth(5)
    rows = [arrays(call.result())["rows"][0] for call in calls]
    assert rows == [2.0, 1.0, 1.0, 2.0, 1.0]


def test_each_caller_of_a_batch_gets_the_outputs_that_it_asked_for(
    gate_server: Any, stub: Any, gate: Any
) -> None:
    with gate.held(stub):
        calls = [
            stub.begin(stub.request([[1.0]], outputs=("y",))),
            stub.begin(stub.request([[2.0]], outputs=("rows", "y"))),
        ]
        gate_server.wait_queue_depth(2)
    first, second = (arrays(call.result()) for call in calls)
    assert list(first) == ["y"]
    assert list(second) == ["rows", "y"]
    assert second["rows"].tolist() == [2.0]


def test_a_full_queue_refuses_with_resource_exhausted_and_recovers(
    gate_server: Any, stub: Any, gate: Any
) -> None:
    with gate.held(stub):
        ahead = stub.begin(stub.request(np.ones((8, 1)), tag=7))
        gate_server.wait_in_flight(2)
        waiting = [stub.begin(stub.request([[1.0]], tag=i % 4)) for i in range(16)]
        gate_server.wait_queue_depth(16)
        with pytest.raises(grpc.RpcError, match="16 of 16 rows") as refused:
            stub.infer(stub.request())
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert ("retry-after-ms", "1000") in refused.value.trailing_metadata()
    assert ahead.result()
    assert all(call.result() for call in waiting)
    assert stub.infer(stub.request())["rows"].tolist() == [1.0]


def test_a_call_with_more_rows_than_the_queue_is_the_callers_mistake(gate_server: Any, stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="17 rows; at most 16") as refused:
        stub.infer(stub.request(np.ones((17, 1))))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_cancelled_call_leaves_the_queue(gate_server: Any, stub: Any, gate: Any) -> None:
    name = "atheria_cancelled_requests_total"
    before = gate_server.metric(name)
    with gate.held(stub):
        call = stub.begin(stub.request())
        gate_server.wait_queue_depth(1)
        call.cancel()
        gate_server.wait_queue_depth(0)
    eventually("the cancelled call in the metrics", lambda: gate_server.metric(name) > before)
    assert stub.infer(stub.request())["rows"].tolist() == [1.0]


def test_a_call_whose_deadline_passes_in_the_queue_is_never_computed(
    gate_server: Any, stub: Any, gate: Any
) -> None:
    batches, deadline_seconds = "atheria_batch_size_count", 0.2
    with gate.held(stub):
        before = gate_server.metric(batches)
        with pytest.raises(grpc.RpcError) as refused:
            stub.infer(stub.request(), timeout=deadline_seconds)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        gate_server.wait_queue_depth(0)
        gate_server.wait_in_flight(1)
        # The server counts from when it reads a call: its deadline may be later than the caller's, but not than this.
        time.sleep(deadline_seconds)
    assert stub.infer(stub.request())["rows"].tolist() == [1.0]
    assert gate_server.metric(batches) == before + 1


def test_the_protocols_own_timeout_is_a_deadline_too(gate_server: Any, stub: Any, gate: Any) -> None:
    expired = gate_server.metric("atheria_expired_requests_total")
    with gate.held(stub):
        with pytest.raises(grpc.RpcError, match="deadline passed") as refused:
            stub.infer(stub.request(timeout=50_000))
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually(
            "the expired call in the metrics",
            lambda: gate_server.metric("atheria_expired_requests_total") == expired + 1,
        )
        gate_server.wait_queue_depth(0)


def test_a_call_cancelled_while_it_is_computed_does_not_block_the_next(
    gate_server: Any, stub: Any, gate: Any
) -> None:
    with gate.held(stub) as call:
        call.cancel()
        gate_server.wait_in_flight(0)
        following = stub.begin(stub.request())
        gate_server.wait_in_flight(1)
    assert arrays(following.result())["rows"].tolist() == [1.0]


def test_a_model_that_raises_fails_its_own_batch_only(gate_server: Any, stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="RuntimeError: no such luck") as failed:
        stub.infer(stub.request(fail="no such luck"))
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert stub.infer(stub.request())["rows"].tolist() == [1.0]


def test_the_metrics_tell_batches_requests_and_start_times(gate_server: Any, stub: Any) -> None:
    names = ("atheria_batch_size_count", "atheria_batch_size_sum", "atheria_requests_total")
    before = [gate_server.metric(name) for name in names]
    stub.infer(stub.request(np.ones((3, 1))))
    eventually("the call in the metrics", lambda: gate_server.metric(names[2]) == before[2] + 1)
    assert [gate_server.metric(name) for name in names[:2]] == [before[0] + 1, before[1] + 3]
    assert gate_server.metric("atheria_model_load_seconds") > 0
    assert gate_server.metric("atheria_model_warmup_seconds") > 0
    assert gate_server.metric("atheria_model_ready") == 1
