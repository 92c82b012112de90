"""Whatever a caller sends, the answer is a clear status and the server goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from atheria_contract.generated import inference_pb2 as pb

MEGABYTE = 1024 * 1024


@pytest.fixture
def qca(qca_server: Any) -> Iterator[Any]:
    with qca_server.stub() as found:
        yield found


def state_request(**change: Any) -> Any:
    """A good request for qca, but for the change."""
    message = pb.ModelInferRequest(model_name=change.get("model", "qca"))
    shape = change.get("shape", [1, 16, 8, 8])
    message.inputs.add(name=change.get("name", "state"), datatype=change.get("datatype", "FP32"), shape=shape)
    raw = change.get("raw", bytes(4 * int(np.prod(np.maximum(shape, 0)))))
    message.raw_input_contents.extend(change.get("raws", [raw]))
    for key, value in change.get("parameters", {"steps": 1}).items():
        message.parameters[key].int64_param = value
    return message


NAN = np.full((1, 16, 8, 8), np.nan, np.float32).tobytes()
WRONG: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    (
        "a side that is no multiple of 8",
        {"shape": [1, 16, 12, 12]},
        "INVALID_ARGUMENT",
        ("state", "12", "multiple of 8"),
    ),
    (
        "another number of channels",
        {"shape": [1, 15, 8, 8]},
        "INVALID_ARGUMENT",
        ("state", "[1, 15, 8, 8]", "16"),
    ),
    ("no rows", {"shape": [0, 16, 8, 8]}, "INVALID_ARGUMENT", ("state", "B >= 1")),
    ("a negative dimension", {"shape": [-1, 16, 8, 8]}, "INVALID_ARGUMENT", ("state", "-1")),
    (
        "an absurd dimension",
        {"shape": [2**40, 2**40], "raw": b"xx"},
        "INVALID_ARGUMENT",
        ("state", "too large"),
    ),
    ("a wrong datatype", {"datatype": "INT32"}, "INVALID_ARGUMENT", ("state", "INT32", "expected FP32")),
    ("an unknown datatype", {"datatype": "FP33"}, "INVALID_ARGUMENT", ("state", "FP33", "FP32")),
    ("no bytes", {"raw": b""}, "INVALID_ARGUMENT", ("state", "needs 4096 bytes, got 0")),
    ("truncated bytes", {"raw": bytes(4095)}, "INVALID_ARGUMENT", ("state", "needs 4096 bytes, got 4095")),
    ("too many bytes", {"raw": bytes(4097)}, "INVALID_ARGUMENT", ("state", "needs 4096 bytes, got 4097")),
    ("neither bytes nor contents", {"raws": []}, "INVALID_ARGUMENT", ("state", "1024 elements, got 0")),
    (
        "more raw contents than inputs",
        {"raws": [b"", b""]},
        "INVALID_ARGUMENT",
        ("raw_input_contents", "2", "1"),
    ),
    ("values that are not finite", {"raw": NAN}, "INVALID_ARGUMENT", ("state", "NaN")),
    ("an unknown input", {"name": "colour"}, "INVALID_ARGUMENT", ("colour", "state, seed")),
    ("an unknown parameter", {"parameters": {"stepz": 1}}, "INVALID_ARGUMENT", ("stepz", "steps")),
    ("too many steps", {"parameters": {"steps": 65}}, "INVALID_ARGUMENT", ("steps", "65", "64")),
    ("an unknown model", {"model": "nobody"}, "NOT_FOUND", ("nobody", "qca")),
]


@pytest.mark.parametrize(("change", "status", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_request_has_a_clear_status_and_nothing_breaks(
    qca: Any, change: dict[str, Any], status: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        qca.infer(state_request(**change))
    assert refused.value.code() is grpc.StatusCode[status], refused.value.details()
    for word in words:
        assert word in refused.value.details()
    assert qca.infer(state_request())["state"].shape == (1, 16, 8, 8)


def test_an_empty_request_is_refused(qca: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        qca.infer(pb.ModelInferRequest())
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError, match="no input") as refused:
        qca.infer(pb.ModelInferRequest(model_name="qca"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_input_given_twice_is_refused(qca: Any) -> None:
    message = state_request()
    message.inputs.add(name="state", datatype="FP32", shape=[1, 16, 8, 8])
    message.raw_input_contents.append(bytes(4096))
    with pytest.raises(grpc.RpcError, match="given twice"):
        qca.infer(message)


def test_a_request_beyond_the_largest_message_is_refused_with_the_size(qca: Any) -> None:
    with pytest.raises(grpc.RpcError, match="larger than max") as refused:
        qca.infer(state_request(raw=bytes(65 * MEGABYTE)))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert qca.infer(state_request())["state"].shape == (1, 16, 8, 8)


def test_a_request_of_many_small_values_in_contents_is_understood(qca: Any) -> None:
    message = state_request(raws=[])
    message.inputs[0].contents.fp32_contents.extend([0.5] * 1024)
    assert qca.infer(message)["state"].shape == (1, 16, 8, 8)


def test_bytes_that_are_no_message_do_not_break_the_server(qca: Any) -> None:
    call = qca.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError):
        call(b"\xff" * 100, timeout=20)
    assert qca.infer(state_request())["state"].shape == (1, 16, 8, 8)


def test_an_answer_beyond_the_largest_message_is_refused_with_what_to_do(gate_server: Any, stub: Any) -> None:
    # y and x together fit, y with the two small outputs does not.
    message = stub.request(np.zeros((1, 16 * MEGABYTE), np.float32))
    with pytest.raises(grpc.RpcError, match="name fewer outputs") as refused:
        stub.infer(message)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    message.outputs.add(name="rows")
    assert stub.infer(message)["rows"].tolist() == [1.0]
