"""Calls whose deadline passes while they wait are answered so, and the model never sees them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from tests.integration.server.harness import Gate, Server, StreamClient, tensor
from tests.integration.server.soak import payloads
from tests.integration.server.soak.mix import read_log

CALLS = 40
STREAM_PLACES = 8
MILLISECONDS = 1000
HELD, LAST = 1_000_001, 1_000_002


def _good(tag: int, **parameters: Any) -> payloads.Good:
    return payloads.Good(tag=tag, rows=1, width=1, parameters=parameters)


def _by_rest(server: Any, tag: int) -> requests.Response:
    document = _good(tag, timeout=200 * MILLISECONDS).document()
    return requests.post(f"{server.http}/v2/models/m/infer", json=document, timeout=60)


def test_calls_that_expire_in_the_queue_never_reach_the_model(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    log = tmp_path / "computed"
    options = ("--max-latency", "10s", "--max-batch-size", "1000")  # no batch is full, so none is sent ahead
    with (
        Server("python://soak_model:SoakApi", "--set", f"log={log}", *options) as server,
        server.stub() as stub,
        ThreadPoolExecutor(CALLS) as pool,
    ):
        held = stub.begin(_good(HELD, gate=gate.path).message())
        gate.wait_held()
        by_grpc = [stub.begin(_good(tag).message(), timeout=0.2) for tag in range(1, CALLS)]
        by_parameter = [
            stub.begin(_good(tag, timeout=200 * MILLISECONDS).message()) for tag in range(100, 100 + CALLS)
        ]
        by_rest = [pool.submit(_by_rest, server, tag) for tag in range(200, 200 + CALLS)]
        for call in [*by_grpc, *by_parameter]:
            with pytest.raises(grpc.RpcError) as failed:
                call.result(timeout=60)
            assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        for answer in by_rest:
            assert answer.result(60).status_code == 504
        server.wait_in_flight(1)
        server.wait_queue_depth(0)
        gate.open()
        assert held.result(timeout=60)
        assert stub.infer(_good(LAST).message())["y"].tolist() == [[2.0 * LAST]]
        assert {HELD, LAST} <= set(read_log(log)) <= {0, HELD, LAST}  # 0: the warm-up
        # gRPC cancels a call at its deadline: one that was late on its way counts as cancelled, or not at all.
        assert 2 * CALLS <= server.metric("atheria_expired_requests_total") <= 3 * CALLS - 1


def test_streams_that_expire_in_the_queue_never_reach_the_model(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    log = tmp_path / "computed"
    with (
        Server("python://soak_model:SoakApi", "--set", f"log={log}") as server,
        server.stub() as stub,
        StreamClient(server.grpc) as stream,
    ):
        held = stub.begin(_good(HELD, gate=gate.path).message())
        gate.wait_held()
        ahead = STREAM_PLACES  # they have places in the worker already, which cannot look at them
        for tag in range(1, ahead + CALLS + 1):
            timeout = None if tag <= ahead else 200 * MILLISECONDS
            x = tensor("x", _good(tag).x)
            stream.send("m", [x], request_id=str(tag), parameters={"count": 2}, timeout=timeout)
        for _ in range(CALLS):
            _, error = stream.take()
            assert "deadline" in str(error)
        gate.open()
        assert held.result(timeout=60)
        frames = [frame for _ in range(ahead) for frame in stream.until_final()[0]]
        assert len(frames) == 2 * ahead
        assert set(read_log(log)) <= {0, HELD, *range(1, ahead + 1)}
