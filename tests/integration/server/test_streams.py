"""Streams beside batches: slots, slow readers, callers that leave."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.integration.server.harness import Gate, StreamClient, eventually, tensor

X = tensor("x", np.ones((1, 1), np.float32))


def test_a_batch_is_computed_while_a_stream_is_open(gate_server: Any, stub: Any) -> None:
    with StreamClient(gate_server.grpc) as stream:
        stream.send("m", [X], parameters={"count": 1000})
        first, error = stream.take()
        assert error is None
        assert first.as_numpy("y").tolist() == [[1.0]]
        assert stub.infer(stub.request())["rows"].tolist() == [1.0]
        frames, _ = stream.until_final()
    assert [f.as_numpy("y").item() for f in frames] == [float(i) for i in range(2, 1001)]


def test_a_caller_that_leaves_ends_its_stream_in_the_worker(gate_server: Any, stub: Any) -> None:
    with StreamClient(gate_server.grpc) as stream:
        stream.send("m", [X], parameters={"count": 100_000_000})
        stream.take()
    gate_server.wait_in_flight(0)
    assert stub.infer(stub.request())["rows"].tolist() == [1.0]


def test_more_streams_than_slots_wait_and_are_all_served(gate_server: Any) -> None:
    with StreamClient(gate_server.grpc) as stream:
        for number in range(12):
            stream.send("m", [X], parameters={"count": 40}, request_id=str(number))
        steps: dict[str, list[int]] = {}
        finals = 0
        while finals < 12:
            result, error = stream.take()
            assert error is None
            answer = result.get_response()
            if answer.parameters["triton_final_response"].bool_param:
                finals += 1
            else:
                steps.setdefault(answer.id, []).append(answer.parameters["step"].int64_param)
    assert steps == {str(number): list(range(1, 41)) for number in range(12)}


def test_waiting_streams_count_against_the_queue(gate_server: Any, stub: Any, gate: Gate) -> None:
    with StreamClient(gate_server.grpc) as stream:
        with gate.held(stub):
            for number in range(25):
                stream.send("m", [X], parameters={"count": 1}, request_id=str(number))
            _, error = stream.take()
            assert "16 of 16 rows" in str(error)
            gate_server.wait_in_flight(25)
        for _ in range(24):
            stream.until_final()


def test_a_model_that_raises_in_a_stream_is_an_error_message(gate_server: Any) -> None:
    with StreamClient(gate_server.grpc) as stream:
        stream.send("m", [X], parameters={"fail": "half way"})
        _, error = stream.take()
        assert "half way" in str(error)
        stream.send("m", [X], parameters={"count": 2})
        frames, _ = stream.until_final()
        assert len(frames) == 2


def test_a_reader_that_does_not_read_holds_nobody_up_and_gets_everything(gate_server: Any, stub: Any) -> None:
    megabyte = np.ones((1, 256 * 1024))
    call = stub.oip.ModelStreamInfer(iter([stub.request(megabyte, count=100)]), timeout=60)
    eventually("the stream to run", lambda: gate_server.metric("atheria_requests_in_flight") == 1)
    for _ in range(20):
        assert stub.infer(stub.request())["rows"].tolist() == [1.0]
    frames = [answer.infer_response for answer in call]
    assert [frame.parameters["step"].int64_param for frame in frames[:-1]] == list(range(1, 101))
