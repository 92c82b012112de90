"""SIGTERM: not ready at once, accepted work is finished, then nothing is accepted, and the exit code is 0."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from atheria_contract import names
from tests.integration.server.harness import (
    GATE_SOURCE,
    Gate,
    Server,
    StreamClient,
    arrays,
    eventually,
    tensor,
)

X = tensor("x", np.ones((1, 1), np.float32))


def unready(server: Any) -> bool:
    return requests.get(f"{server.http}/v2/health/ready", timeout=20).status_code == 503


def test_a_draining_server_accepts_for_a_while_and_finishes_what_it_accepted(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--drain-delay", "1h", "--drain-timeout", "1h") as server, server.stub() as stub:
        with gate.held(stub) as held:
            server.process.send_signal(signal.SIGTERM)
            eventually("not ready", lambda: unready(server))
            health = health_pb2_grpc.HealthStub(stub.channel).Check(
                health_pb2.HealthCheckRequest(), timeout=20
            )
            assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert requests.get(f"{server.http}/v2/health/live", timeout=20).status_code == 200
            late = stub.begin(stub.request())
            server.wait_in_flight(2)
            server.process.send_signal(signal.SIGTERM)  # ends the delay, which a test does not wait for
            server.wait_line("event=draining")

            def refused() -> bool:
                try:
                    stub.infer(stub.request(), timeout=1)
                except grpc.RpcError as error:
                    elsewhere = ("atheria-refused", "draining") in error.trailing_metadata()
                    return error.code() is grpc.StatusCode.UNAVAILABLE and elsewhere
                return False

            eventually("refusal of new calls", refused)
        assert arrays(held.result())["rows"].tolist() == [1.0]
        assert arrays(late.result())["rows"].tolist() == [1.0]
        assert server.wait_exit() == 0
        server.wait_line("event=drained unanswered=0")


def test_work_that_does_not_end_in_time_fails_with_unavailable(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--drain-timeout", "100ms") as server, server.stub() as stub:
        held = stub.begin(stub.request(gate=gate.path))
        gate.wait_held()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as failed:
            held.result()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        gate.open()
        assert server.wait_exit() == 0
        server.wait_line("event=drained unanswered=1")


def test_an_open_stream_is_finished_and_an_idle_one_does_not_hold_the_server() -> None:
    with Server(GATE_SOURCE, "--drain-timeout", "1h") as server, StreamClient(server.grpc) as stream:
        stream.send("m", [X], parameters={"count": 200})
        stream.take()
        server.process.send_signal(signal.SIGTERM)
        frames, _ = stream.until_final()
        assert len(frames) == 199
        assert server.wait_exit() == 0


def test_a_signal_during_the_load_ends_the_server(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--set", f"setup_gate={gate.path}", wait_ready=False) as server:
        gate.wait_held()
        assert unready(server)
        with server.stub() as stub, pytest.raises(grpc.RpcError, match="not loaded yet") as refused:
            stub.infer(stub.request())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        server.process.send_signal(signal.SIGTERM)
        gate.open()
        assert server.wait_exit() == 0


def test_a_signal_to_the_whole_process_group_does_not_kill_the_worker_under_its_work(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--drain-timeout", "1h") as server, server.stub() as stub:
        with gate.held(stub) as held:
            os.killpg(server.process.pid, signal.SIGINT)
            server.wait_line("event=draining")
        assert arrays(held.result())["rows"].tolist() == [1.0]
        assert server.wait_exit() == 0


def test_a_ready_server_says_how_many_calls_it_has_and_a_stream_counts_until_its_end(tmp_path: Path) -> None:
    gate = Gate(tmp_path)

    def told() -> Any:
        return requests.get(f"{server.http}{names.PATH_READY}", timeout=20).json()

    with Server(GATE_SOURCE) as server, server.stub() as stub:
        assert told() == {"ready": True, names.READY_IN_FLIGHT: 0}
        with gate.held(stub), StreamClient(server.grpc) as stream:
            eventually("one call", lambda: told()[names.READY_IN_FLIGHT] == 1)
            stream.send("m", [X], parameters={"count": 3})
            eventually("two calls", lambda: told()[names.READY_IN_FLIGHT] == 2)
        eventually("no call", lambda: told()[names.READY_IN_FLIGHT] == 0)
