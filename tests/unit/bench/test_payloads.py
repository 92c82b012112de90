"""No wrong number is counted: every format's answers are checked against numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atheria_contract.generated import inference_pb2 as pb
from bench.serving import model, payloads


def answer(kind: str, index: int) -> tuple[bytes, dict[str, str]]:
    """What a right server says to caller `index`."""
    x = model.example(index)
    y = x if kind == payloads.ECHO else model.Model()(x)
    if kind in payloads.GRPC_KINDS:
        return pb.ModelInferResponse(raw_output_contents=[y.tobytes()]).SerializeToString(), {}
    if kind == payloads.REST_BINARY:
        return b"{}" + y.tobytes(), {"inference-header-content-length": "2"}
    data = y.tolist() if kind == payloads.BENTO_JSON else {"outputs": [{"data": y.ravel().tolist()}]}
    return json.dumps(data).encode(), {}


@pytest.mark.parametrize("kind", payloads.FORMATS)
def test_a_right_answer_is_accepted_and_another_callers_is_not(kind: str) -> None:
    body, headers = answer(kind, 3)
    assert payloads.wrong(kind, 3, body, headers) == ""
    assert "differs by" in payloads.wrong(kind, 4, body, headers)


def test_a_truncated_answer_is_wrong() -> None:
    short = pb.ModelInferResponse(raw_output_contents=[b"\0" * 64]).SerializeToString()
    assert "16 numbers" in payloads.wrong(payloads.GRPC, 0, short, {})


def test_an_unreadable_answer_is_wrong() -> None:
    assert "cannot be read" in payloads.wrong(payloads.REST_JSON, 0, b'{"error":"no"}', {})


def test_not_a_number_is_wrong() -> None:
    data = np.full(model.CALL_SHAPE, np.nan, np.float32).tobytes()
    body = pb.ModelInferResponse(raw_output_contents=[data]).SerializeToString()
    assert "differs by" in payloads.wrong(payloads.GRPC, 0, body, {})


def test_requests_carry_the_tensor_of_their_caller() -> None:
    message = pb.ModelInferRequest.FromString(payloads.request_bytes(payloads.GRPC, 7))
    assert message.raw_input_contents[0] == model.example(7).tobytes()
    head, _, body = payloads.request_bytes(payloads.REST_BINARY, 7).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert body.endswith(model.example(7).tobytes())
