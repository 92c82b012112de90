"""Both transports read and write the same requests and answers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.core import errors
from atheria_server.core.errors import (
    BY_CODE,
    CallError,
    FailedError,
    FullError,
    InvalidCallError,
    NotBegunError,
    TooLargeError,
    UnavailableError,
    UnreadError,
)
from atheria_server.core.infer import InferAnswer
from atheria_server.transport import grpc_codec, rest_codec
from atheria_server.transport.errors import HTTP_STATUS, grpc_trailers, http_headers, http_status
from atheria_server.transport.grpc_wire import AnswerWriter

ANSWER = InferAnswer(
    outputs={"y": np.arange(4, dtype=np.float32).reshape(2, 2), "t": np.array([b"a", b"b"], dtype=object)},
    parameters={"step": 4, "share": 0.5, "done": True, "word": "x"},
)


def message(datatype: str = "FP32", **contents: Any) -> Any:
    found = pb.ModelInferRequest(model_name="m", id="1")
    tensor = found.inputs.add(name="x", datatype=datatype, shape=[2])
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return found


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-1, 2]),
        ("INT64", "int64_contents", [-(2**40), 2]),
        ("UINT16", "uint_contents", [1, 65535]),
        ("UINT64", "uint64_contents", [1, 2**63]),
        ("FP32", "fp32_contents", [0.5, 2.0]),
        ("FP64", "fp64_contents", [0.1, 2.0]),
        ("BYTES", "bytes_contents", [b"a", b""]),
    ],
)
def test_contents_of_every_datatype_are_read(datatype: str, field: str, values: list[Any]) -> None:
    request = grpc_codec.read_request(message(datatype, **{field: values}), 3.0)
    assert request.inputs["x"].tolist() == values
    assert request.timeout_seconds == 3.0


def test_half_floats_come_raw_only() -> None:
    with pytest.raises(InvalidCallError, match="raw_input_contents"):
        grpc_codec.read_request(message("FP16", fp32_contents=[1, 2]), None)


def test_parameters_of_every_type_survive_both_ways() -> None:
    answer = pb.ModelInferResponse.FromString(AnswerWriter("1").infer(message(), ANSWER))
    back = pb.ModelInferRequest(model_name="m", parameters=answer.parameters)
    assert dict(grpc_codec.read_request(back, None).parameters) == ANSWER.parameters
    assert (answer.id, answer.model_version) == ("1", "1")


def test_a_parameter_without_a_value_is_refused() -> None:
    empty = pb.ModelInferRequest(model_name="m")
    empty.parameters["steps"].SetInParent()
    with pytest.raises(InvalidCallError, match="'steps' has no value"):
        grpc_codec.read_request(empty, None)


def test_a_json_answer_and_a_binary_one_carry_the_same() -> None:
    request, none = rest_codec.read_request("m", "", b'{"inputs": []}', None)
    text, length = rest_codec.write_answer(request, ANSWER, "1", none)
    assert length is None
    document = json.loads(text)
    assert document["parameters"] == ANSWER.parameters
    assert [o["data"] for o in document["outputs"]] == [[0.0, 1.0, 2.0, 3.0], ["a", "b"]]
    body, length = rest_codec.write_answer(request, ANSWER, "1", None)
    assert length is not None
    sizes = [o["parameters"]["binary_data_size"] for o in json.loads(body[:length])["outputs"]]
    assert sizes == [16, 10]
    assert len(body) == length + 26


def test_a_message_with_tensors_is_binary_and_reads_back_as_it_was_written() -> None:
    request, _ = rest_codec.read_message("m", "", '{"inputs": []}')
    assert isinstance(
        rest_codec.write_message(*rest_codec.answer_document(request, ANSWER, "1", frozenset())), str
    )
    x = np.arange(6, dtype=np.int16)
    document = {
        "inputs": [
            {"name": "x", "datatype": "INT16", "shape": [6], "parameters": {"binary_data_size": 12}},
            {"name": "y", "datatype": "FP32", "shape": [1], "data": [0.5]},
        ]
    }
    message = rest_codec.write_message(document, [x.tobytes()])
    assert isinstance(message, bytes)
    assert int.from_bytes(message[:4], "little") == len(message) - 4 - 12
    found, _ = rest_codec.read_message("m", "1", message)
    assert {name: array.tolist() for name, array in found.inputs.items()} == {"x": x.tolist(), "y": [0.5]}
    for wrong in (message[:3], message[:20], message[:-1], message + b"?"):
        with pytest.raises(InvalidCallError):
            rest_codec.read_message("m", "1", wrong)


def test_not_a_number_is_refused_in_json_only() -> None:
    request, _ = rest_codec.read_request("m", "", b'{"inputs": []}', None)
    answer = InferAnswer(outputs={"y": np.array([np.nan], np.float32)})
    with pytest.raises(FailedError, match="binary_data"):
        rest_codec.write_answer(request, answer, "1", frozenset())
    assert rest_codec.write_answer(request, answer, "1", None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["inputs", "name", "shape", "datatype", "data", "parameters", "outputs", "binary_data_size"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.binary(max_size=8), st.booleans())
def test_any_body_is_a_request_or_an_invalid_call(document: Any, tail: bytes, split: bool) -> None:
    head = json.dumps(document).encode()
    with contextlib.suppress(InvalidCallError):
        rest_codec.read_request("m", "", head + tail, str(len(head)) if split else None)


def test_every_failure_has_a_status_in_both_protocols() -> None:
    import grpc

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CallError)]
    for kind in kinds:
        assert kind.code in HTTP_STATUS
        assert kind.code in grpc.StatusCode.__members__
        assert 400 <= http_status(kind("x")) < 600
    assert set(BY_CODE) <= set(HTTP_STATUS)


def test_only_what_may_pass_later_is_worth_a_retry() -> None:
    assert ("retry-after-ms", "1000") in grpc_trailers(FullError("x"))
    assert http_headers(FullError("x")) == {"retry-after": "1"}
    for never in (TooLargeError("x"), UnreadError("x")):
        assert "retry-after-ms" not in dict(grpc_trailers(never))
        assert not http_headers(never)
    assert not grpc_trailers(InvalidCallError("x"))


def test_only_a_call_that_never_began_may_be_sent_elsewhere_by_the_gateway():
    assert ("atheria-refused", "draining") in grpc_trailers(NotBegunError("x"))
    assert http_headers(NotBegunError("x"))["atheria-refused"] == "draining"
    assert "atheria-refused" not in dict(grpc_trailers(UnavailableError("x")))
    assert http_status(TooLargeError("x")) == 413
