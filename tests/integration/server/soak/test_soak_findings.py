"""What the soaks found, each as small as it gets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from tests.integration.server.harness import Gate, Server, StreamClient, eventually, tensor
from tests.integration.server.soak import payloads, processes
from tests.integration.server.soak.mix import read_log

SOURCE = "python://soak_model:SoakApi"
PLACES = 8
"""Streams that one worker computes at a time."""


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with Server(SOURCE) as found:
        yield found


def _good(tag: int, **parameters: Any) -> Any:
    return payloads.Good(tag=tag, rows=1, width=1, parameters=parameters)


def _refused(server: Any, message: Any) -> str:
    with server.stub() as stub, pytest.raises(grpc.RpcError) as refused:
        stub.infer(message)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refused.value
    text: str = refused.value.details()
    return text


def test_a_long_value_of_the_caller_does_not_hide_why_it_was_refused(server: Any) -> None:
    message = _good(1).message()
    message.parameters["é" * 10_000].int64_param = 1
    text = _refused(server, message)
    assert text.startswith("unknown parameter 'é")
    assert text.endswith("allowed: gate, work, crash, fail, count, probe")
    assert "more bytes" in text


@pytest.mark.parametrize("shape", [[0, 2**62], [2**31, 0, 2**31], [1] * 40], ids=["empty", "middle", "deep"])
def test_a_shape_that_no_array_can_have_is_refused(server: Any, shape: list[int]) -> None:
    message = _good(1).message()
    del message.inputs[0].shape[:]
    message.inputs[0].shape.extend(shape)
    message.raw_input_contents[0] = b"" if 0 in shape else message.raw_input_contents[0]
    assert "too large" in _refused(server, message)
    item = {"name": "x", "datatype": "FP32", "shape": shape, "data": [] if 0 in shape else [1.0]}
    answer = requests.post(f"{server.http}/v2/models/m/infer", json={"inputs": [item]}, timeout=60)
    assert (answer.status_code, "too large" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("name", [payloads.HEADER_LENGTH, "Last-Event-ID"])
def test_thousands_of_digits_in_a_header_are_refused(server: Any, name: str) -> None:
    url = f"{server.http}/v2/models/m/infer_stream"
    answer = requests.post(url, json=_good(1).document(), headers={name: "9" * 5000}, timeout=60)
    assert (answer.status_code, "expected" in answer.json()["error"]) == (400, True)


def test_bytes_that_are_no_message_are_refused_as_invalid(server: Any) -> None:
    with server.stub() as stub, pytest.raises(grpc.RpcError) as refused:
        stub.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff\xff", timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_dead_worker_leaves_no_memory_in_the_front() -> None:
    with Server(SOURCE) as server, server.stub() as stub:
        for times in (1, 2):
            before = processes.use(server.process.pid).memfds
            with StreamClient(server.grpc) as stream:
                for number in range(PLACES):
                    stream.send(
                        "m",
                        [tensor("x", np.ones((1, 64), np.float32))],
                        request_id=str(number),
                        parameters={"count": 50},
                    )
                for _ in range(PLACES):
                    stream.until_final()
            (worker,) = processes.workers(server.process.pid)
            os.kill(worker, signal.SIGKILL)
            eventually(
                "the next worker",
                lambda times=times: server.metric("atheria_worker_restarts_total") == times,
            )
            assert stub.infer(_good(1).message())["y"].tolist() == [[2.0]]
            assert processes.use(server.process.pid).memfds <= before + 4


def test_a_batch_that_expires_in_front_of_the_worker_is_not_computed(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    log = tmp_path / "computed"
    options = ("--max-latency", "0", "--max-batch-size", "4", "--set", f"log={log}")
    with Server(SOURCE, *options) as server, server.stub() as stub:
        held = stub.begin(_good(90, gate=gate.path).message())
        gate.wait_held()
        deadline_seconds = 0.3
        calls = [stub.begin(_good(tag).message(), timeout=deadline_seconds) for tag in range(1, 5)]
        for call in calls:
            with pytest.raises(grpc.RpcError) as failed:
                call.result(timeout=60)
            assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        server.wait_in_flight(1)
        # The server counts from when it reads a call: its deadline may be later than the caller's, but not than this.
        time.sleep(deadline_seconds)
        gate.open()
        assert held.result(timeout=60)
        assert stub.infer(_good(91).message())["y"].tolist() == [[182.0]]
        assert set(read_log(log)) == {0, 90, 91}


def test_a_wrong_request_of_a_stream_is_answered_under_its_own_id(server: Any) -> None:
    wrong, right = _good(1).message(), _good(2, count=1).message()
    wrong.id, right.id = "wrong", "right"
    wrong.raw_input_contents[0] = b"\0"
    with server.stub() as stub:
        answers = list(stub.oip.ModelStreamInfer(iter([wrong, right]), timeout=60))
    failed = [answer for answer in answers if answer.error_message]
    assert [answer.infer_response.id for answer in failed] == ["wrong"]
    assert failed[0].infer_response.parameters["triton_final_response"].bool_param
    assert [a.infer_response.id for a in answers if not a.error_message] == ["right", "right"]
