"""What the engine promises beyond a batch: priorities, several workers, second tries, memory, padding."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.integration.server.harness import GATE_SOURCE, Gate, Server, arrays


def test_a_call_of_higher_priority_overtakes_those_that_wait(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--max-batch-size", "1") as server, server.stub() as stub:
        with gate.held(stub):
            ahead = stub.begin(stub.request())
            server.wait_in_flight(2)
            low = stub.begin(stub.request(priority=9))
            server.wait_queue_depth(1)
            usual = stub.begin(stub.request())
            server.wait_queue_depth(2)
            high = stub.begin(stub.request(priority=1))
            server.wait_queue_depth(3)
        order = [arrays(call.result())["serial"][0] for call in (ahead, high, usual, low)]
        assert order == sorted(order)


@pytest.mark.parametrize("priority", [10, -1, "high"])
def test_a_priority_that_does_not_exist_is_refused(priority: object) -> None:
    with Server(GATE_SOURCE) as server, server.stub() as stub:
        with pytest.raises(
            grpc.RpcError, match=r"parameter priority is .*; expected 1 \(first\) to 9"
        ) as failed:
            stub.infer(stub.request(priority=priority))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_two_workers_compute_at_the_same_time(tmp_path: Path) -> None:
    gates = [Gate(tmp_path, "one"), Gate(tmp_path, "two")]
    with Server(GATE_SOURCE, "--workers", "2") as server, server.stub() as stub:
        with gates[0].held(stub) as first, gates[1].held(stub) as second:
            pass
        pids = {int(arrays(call.result())["pid"][0]) for call in (first, second)}
        assert len(pids) == 2
        os.kill(pids.pop(), signal.SIGKILL)
        server.wait_line("event=worker_died")
        assert stub.infer(stub.request())["y"].tolist() == [[2.0]]
        assert server.metric("atheria_model_ready") == 1


def test_calls_reuse_the_shared_memory_of_earlier_ones_and_the_counters_prove_it() -> None:
    x = np.ones((4, 1024), np.float32)
    with Server(GATE_SOURCE) as server, server.stub() as stub:
        stub.infer(stub.request(x))
        names = {
            "made": "atheria_shared_buffers_made_total",
            "lent": "atheria_shared_buffers_lent_total",
            "bytes": "atheria_shared_memory_bytes_total",
        }
        before = {key: server.metric(name) for key, name in names.items()}
        for _ in range(20):
            stub.infer(stub.request(x))
        after = {key: server.metric(name) for key, name in names.items()}
        assert after["made"] == before["made"], "no fresh memory in steady state"
        assert after["lent"] - before["lent"] == 20
        assert 2 * x.nbytes <= (after["bytes"] - before["bytes"]) / 20 < 2 * x.nbytes + 4096, (
            "each way each tensor is copied once"
        )
        pid = int(stub.infer(stub.request())["pid"][0])
        os.kill(pid, signal.SIGKILL)
        server.wait_line("event=worker_died")
        assert server.metric(names["lent"]) >= after["lent"], "a counter never falls"


def test_an_idempotent_call_survives_the_death_of_its_worker(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--idempotent") as server, server.stub() as stub:
        pid = int(stub.infer(stub.request())["pid"][0])
        held = stub.begin(stub.request(gate=gate.path))
        gate.wait_held()
        os.kill(pid, signal.SIGKILL)
        server.wait_line("event=worker_died")
        gate.open()
        gate.wait_held()
        gate.open()
        answer = arrays(held.result())
        assert answer["pid"][0] != pid
        assert answer["y"].tolist() == [[2.0]]
        assert server.metric("atheria_retried_requests_total") == 1


def test_a_call_that_kills_every_worker_fails_alone_though_calls_are_idempotent(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--idempotent", "--max-latency", "10s") as server, server.stub() as stub:
        with gate.held(stub):
            poison = stub.begin(stub.request([[-999.0]]))
            neighbour = stub.begin(stub.request([[3.0]]))
            server.wait_queue_depth(2)
        with pytest.raises(grpc.RpcError, match="the worker died") as failed:
            poison.result()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert arrays(neighbour.result())["y"].tolist() == [[6.0]]


def test_a_batch_beyond_the_memory_is_answered_in_parts_and_later_ones_are_smaller(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with (
        Server(GATE_SOURCE, "--set", "fits=2", "--max-batch-size", "8") as server,
        server.stub() as stub,
    ):
        assert any("event=batch_too_large rows=8 fits=2" in line for line in server.lines)
        with gate.held(stub):
            calls = [stub.begin(stub.request([[float(i)]])) for i in range(6)]
            server.wait_in_flight(7)
        answers = [arrays(call.result()) for call in calls]
        assert [a["y"].tolist() for a in answers] == [[[2.0 * i]] for i in range(6)]
        assert max(a["rows"][0] for a in answers) <= 2
        assert sum("event=batch_too_large" in line for line in server.lines) == 1
        whole = stub.infer(stub.request(np.arange(10.0).reshape(10, 1)))
        assert whole["y"].ravel().tolist() == [2.0 * i for i in range(10)]


def test_sequences_of_different_lengths_share_a_batch_and_get_answers_of_their_own_length(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path)
    with Server("python://length_model:LengthApi", "--max-latency", "10s") as server, server.stub() as stub:
        with gate.held(stub):
            calls = [stub.begin(stub.request([[1.0] * length])) for length in (1, 3, 4, 5)]
            server.wait_queue_depth(4)
        answers = [arrays(call.result()) for call in calls]
        assert [a["y"].tolist() for a in answers] == [[[2.0] * length] for length in (1, 3, 4, 5)]
        assert [a["shape"][0].tolist() for a in answers] == [[3, 4], [3, 4], [3, 4], [1, 8]]
        with pytest.raises(grpc.RpcError, match="its sequence is said to be on axis 1") as broken:
            stub.infer(stub.request([[-1.0]]))
        assert broken.value.code() is grpc.StatusCode.INTERNAL
        with pytest.raises(grpc.RpcError, match="input 'x' has length 9; at most 8 is allowed") as failed:
            stub.infer(stub.request([[1.0] * 9]))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
