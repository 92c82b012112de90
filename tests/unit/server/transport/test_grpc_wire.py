"""Answers written by hand are read by the generated messages as what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.core import tensors
from atheria_server.core.infer import InferAnswer
from atheria_server.transport.grpc_wire import AnswerWriter

WRITER = AnswerWriter("1")
ARRAYS = st.sampled_from(["?", "u1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8", ">f4"]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
PARAMETERS = st.dictionaries(
    st.text(max_size=5),
    st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)),
    max_size=3,
)


@given(
    st.dictionaries(st.text(max_size=300), ARRAYS, max_size=3),
    PARAMETERS,
    st.text(max_size=300),
    st.text(max_size=9),
)
def test_every_answer_is_read_back_as_it_was(
    outputs: dict[str, Any], parameters: dict[str, Any], request_id: str, model: str
) -> None:
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    answer = InferAnswer(outputs=outputs, parameters=parameters)
    read = pb.ModelInferResponse.FromString(WRITER.infer(request, answer))
    assert (read.model_name, read.model_version, read.id) == (model, "1", request_id)
    assert [o.name for o in read.outputs] == list(outputs)
    for written, raw, expected in zip(read.outputs, read.raw_output_contents, outputs.values(), strict=True):
        array = tensors.from_bytes("x", written.datatype, written.shape, raw)
        np.testing.assert_array_equal(array, expected)
        assert array.shape == expected.shape
    assert set(read.parameters) == set(parameters)
    frame = pb.ModelStreamInferResponse.FromString(WRITER.frame(request, answer))
    assert frame.infer_response == read
    assert not frame.error_message


@pytest.mark.parametrize("array", [np.array([b"a", b"", b"xyz"], dtype=object), np.array(["ab", "c"])])
def test_bytes_are_written_with_their_lengths(array: Any) -> None:
    read = pb.ModelInferResponse.FromString(
        WRITER.infer(pb.ModelInferRequest(model_name="m"), InferAnswer(outputs={"t": array}))
    )
    back = tensors.from_bytes("t", "BYTES", [len(array)], read.raw_output_contents[0])
    assert [v.decode() for v in back] == [v if isinstance(v, str) else v.decode() for v in array]


def test_bfloat16_is_written_as_two_bytes_an_element() -> None:
    array = tensors.bfloat16_of([1.0, -2.5, 3.0])
    read = pb.ModelInferResponse.FromString(
        WRITER.infer(pb.ModelInferRequest(model_name="m"), InferAnswer(outputs={"b": array}))
    )
    assert read.outputs[0].datatype == "BF16"
    assert len(read.raw_output_contents[0]) == 6


def test_more_layouts_than_are_remembered_are_all_written() -> None:
    for rows in range(600):
        answer = InferAnswer(outputs={"y": np.zeros((rows, 1), np.uint8)})
        read = pb.ModelInferResponse.FromString(WRITER.infer(pb.ModelInferRequest(model_name="m"), answer))
        assert list(read.outputs[0].shape) == [rows, 1]
