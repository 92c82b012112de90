"""A worker that reads nothing for a while, as during one long computation: nothing is lost, nothing hangs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import grpc
import numpy as np
import pytest

from tests.integration.server.harness import GATE_SOURCE, Gate, Server, StreamClient, arrays, tensor

X = tensor("x", np.ones((1, 1), np.float32))
ABANDONED = 400
"""Streams opened and left meanwhile: more messages than the socket to the worker holds."""


def test_calls_sent_after_hundreds_of_abandoned_streams_are_answered() -> None:
    with Server(GATE_SOURCE) as server, server.stub() as stub:
        pid = int(stub.infer(stub.request())["pid"][0])
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(ABANDONED):
                with StreamClient(server.grpc) as stream:
                    stream.send("m", [X], parameters={"count": 2})
            waiting = [stub.begin(stub.request()) for _ in range(3)]
            server.wait_in_flight(3)
        finally:
            os.kill(pid, signal.SIGCONT)
        for call in waiting:
            assert arrays(call.result(timeout=60))["rows"].tolist()
        with StreamClient(server.grpc) as stream:
            stream.send("m", [X], parameters={"count": 3})
            frames, _ = stream.until_final()
            assert len(frames) == 3


def test_a_call_that_had_begun_when_the_server_stops_is_not_offered_to_another_pod(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--drain-timeout", "100ms") as server, server.stub() as stub:
        begun = stub.begin(stub.request(gate=gate.path))
        gate.wait_held()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as failed:
            begun.result()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "atheria-refused" not in dict(failed.value.trailing_metadata())
        gate.open()
        assert server.wait_exit() == 0
