"""OIP messages of gRPC to requests; pure functions. Answers are written by `grpc_wire`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.core import tensors
from atheria_server.core.errors import InvalidCallError
from atheria_server.core.infer import Array, InferRequest, Scalar
from atheria_server.core.tensor_parameters import refuse_unsupported
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


def parse_request(data: bytes) -> Any:
    """A ModelInferRequest. Raises InvalidCallError."""
    try:
        return pb.ModelInferRequest.FromString(data)
    except DecodeError as error:
        raise InvalidCallError(
            f"the message of {len(data)} bytes is not a ModelInferRequest: {error}"
        ) from error


def read_request(message: Any, timeout_seconds: float | None) -> InferRequest:
    """From a ModelInferRequest. Raises InvalidCallError or UnsupportedError naming the tensor or parameter."""
    for output in message.outputs:
        if output.parameters:
            refuse_unsupported(f"output {output.name!r}", output.parameters)
    try:
        return InferRequest(
            model_name=message.model_name,
            model_version=message.model_version,
            request_id=message.id,
            inputs=_read_inputs(message),
            parameters=_read_parameters(message.parameters) if message.parameters else {},
            outputs=tuple([output.name for output in message.outputs]),
            timeout_seconds=timeout_seconds,
        )
    except TensorError as error:
        raise InvalidCallError(str(error)) from error


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
        name = tensor.name
        if tensor.parameters:
            refuse_unsupported(f"input {name!r}", tensor.parameters)
        if name in inputs:
            raise InvalidCallError(f"input {name!r} is given twice; give each input once")
        if raw:
            inputs[name] = tensors.from_bytes(name, tensor.datatype, tuple(tensor.shape), raw[index])
            continue
        tensors.element_count(name, tensor.datatype, tensor.shape)
        field = _CONTENTS.get(tensor.datatype)
        if field is None:
            raise InvalidCallError(f"input {tensor.name!r} of {tensor.datatype} needs raw_input_contents")
        values = getattr(tensor.contents, field)
        inputs[tensor.name] = tensors.from_values(tensor.name, tensor.datatype, tensor.shape, values)
    return inputs


def _read_parameters(parameters: Mapping[str, Any]) -> dict[str, Scalar]:
    return {name: _read_parameter(name, value) for name, value in parameters.items()}


def _read_parameter(name: str, value: Any) -> Scalar:
    kind = value.WhichOneof("parameter_choice")
    if kind is None:
        raise InvalidCallError(f"parameter {name!r} has no value; set one of its fields")
    found: Scalar = getattr(value, kind)
    return found
