"""OIP messages of gRPC to and from requests and answers; pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.core import tensors
from atheria_server.core.errors import InvalidCallError
from atheria_server.core.infer import Array, InferAnswer, InferRequest, Scalar
from atheria_server.core.tensors import TensorError

FINAL_RESPONSE: Final = "triton_final_response"
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_request(message: Any, timeout_seconds: float | None) -> InferRequest:
    """From a ModelInferRequest. Raises InvalidCallError naming the tensor or parameter."""
    try:
        return InferRequest(
            model_name=message.model_name,
            model_version=message.model_version,
            request_id=message.id,
            inputs=_read_inputs(message),
            parameters={name: _read_parameter(name, value) for name, value in message.parameters.items()},
            outputs=tuple(output.name for output in message.outputs),
            timeout_seconds=timeout_seconds,
        )
    except TensorError as error:
        raise InvalidCallError(str(error)) from error


def write_answer(request: Any, answer: InferAnswer, version: str) -> Any:
    """A ModelInferResponse with raw contents, for the ModelInferRequest."""
    message = pb.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    write_parameters(message.parameters, answer.parameters)
    for name, value in answer.outputs.items():
        array = tensors.to_array(value)
        message.outputs.add(name=name, datatype=tensors.datatype_of(array), shape=array.shape)
        message.raw_output_contents.append(tensors.to_bytes(array))
    return message


def write_final(request: Any, version: str) -> Any:
    """The empty answer that ends a stream's answers to one request."""
    message = pb.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    message.parameters[FINAL_RESPONSE].bool_param = True
    return message


def write_parameters(target: Any, parameters: Mapping[str, Scalar]) -> None:
    """Fill a map of InferParameter."""
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = value


def _read_inputs(message: Any) -> dict[str, Array]:
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidCallError(
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; expected one for each"
        )
    inputs: dict[str, Array] = {}
    for index, tensor in enumerate(message.inputs):
        if tensor.name in inputs:
            raise InvalidCallError(f"input {tensor.name!r} is given twice; give each input once")
        if raw:
            inputs[tensor.name] = tensors.from_bytes(tensor.name, tensor.datatype, tensor.shape, raw[index])
            continue
        tensors.element_count(tensor.name, tensor.datatype, tensor.shape)
        field = _CONTENTS.get(tensor.datatype)
        if field is None:
            raise InvalidCallError(f"input {tensor.name!r} of {tensor.datatype} needs raw_input_contents")
        values = getattr(tensor.contents, field)
        inputs[tensor.name] = tensors.from_values(tensor.name, tensor.datatype, tensor.shape, values)
    return inputs


def _read_parameter(name: str, value: Any) -> Scalar:
    kind = value.WhichOneof("parameter_choice")
    if kind is None:
        raise InvalidCallError(f"parameter {name!r} has no value; set one of its fields")
    found: Scalar = getattr(value, kind)
    return found
