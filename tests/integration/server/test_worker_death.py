"""A dead worker is seen at once: its calls fail, it is started again, and not for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from tests.integration.server.harness import (
    GATE_SOURCE,
    Gate,
    Server,
    StreamClient,
    arrays,
    eventually,
    tensor,
)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Any]:
    with Server(GATE_SOURCE, "--max-latency", "10s") as server:
        yield server


def ready(server: Any) -> bool:
    return requests.get(f"{server.http}/v2/health/ready", timeout=20).status_code == 200


def test_a_killed_worker_fails_its_batch_unavailable_and_the_waiting_calls_survive(
    mortal: Any, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with mortal.stub() as stub:
        pid = int(stub.infer(stub.request())["pid"][0])
        held = stub.begin(stub.request(gate=gate.path))
        gate.wait_held()
        waiting = stub.begin(stub.request())
        mortal.wait_queue_depth(1)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(grpc.RpcError, match=r"worker died \(signal SIGKILL; out of memory\?\)") as failed:
            held.result()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        answer = arrays(waiting.result())
        assert answer["rows"].tolist() == [1.0]
        assert answer["pid"][0] != pid
        eventually("ready again", lambda: ready(mortal))
        assert mortal.metric("atheria_worker_restarts_total") == 1


def test_a_stream_of_a_killed_worker_ends_with_an_error_message(mortal: Any) -> None:
    with StreamClient(mortal.grpc) as stream:
        x = tensor("x", np.ones((1, 1), np.float32))
        stream.send("m", [x], parameters={"crash": True})
        _, error = stream.take()
        assert "worker died" in str(error)
        stream.send("m", [x], parameters={"count": 2})
        frames, _ = stream.until_final()
        assert len(frames) == 2


def test_a_worker_that_keeps_dying_ends_the_server_with_one_line() -> None:
    with Server(GATE_SOURCE) as server, server.stub() as stub:
        for _ in range(4):
            with pytest.raises(grpc.RpcError) as failed:
                stub.infer(stub.request(crash=True))
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.wait_exit() == 1
        assert server.lines[-1] == (
            "atheria-server: error: the worker died 4 times, the last time by signal SIGKILL; out of memory?; "
            "at most 3 restarts in 300 s"
        )


def test_a_killed_server_leaves_no_worker_behind() -> None:
    with Server(GATE_SOURCE) as server, server.stub() as stub:
        pid = int(stub.infer(stub.request())["pid"][0])
        server.process.kill()

        def gone() -> bool:
            try:
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                return True

        eventually("the end of the worker", gone)
