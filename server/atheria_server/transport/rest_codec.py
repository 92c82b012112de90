"""OIP bodies of REST, with the binary tensor extension, to and from requests and answers; pure functions.

A WebSocket has no headers: there a message with tensors is binary and begins with that number, 4 bytes, little-endian.
A body is JSON; with the header `Inference-Header-Content-Length: N` only its first N bytes are, and the raw tensors
follow in the order of the inputs that have the parameter `binary_data_size`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from atheria_server.core import tensors
from atheria_server.core.errors import FailedError, InvalidCallError
from atheria_server.core.infer import Array, InferAnswer, InferRequest, Scalar
from atheria_server.core.tensor_parameters import refuse_unsupported
from atheria_server.core.tensors import TensorError

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
BINARY_SIZE: Final = "binary_data_size"
BINARY: Final = "binary_data"
BINARY_ALL: Final = "binary_data_output"
MESSAGE_LENGTH: Final = struct.Struct("<I")
"""Before the JSON of a binary WebSocket message: how many bytes it has."""
MAX_DIGITS: Final = 18


def read_request(
    model_name: str, model_version: str, body: bytes, header_length: str | None
) -> tuple[InferRequest, frozenset[str] | None]:
    """The request, and which outputs are wanted as binary (None = all).

    Raises InvalidCallError, or UnsupportedError for a tensor in shared memory and for classification.
    """
    document, raw = _split(body, header_length)
    outputs = _objects(document, "outputs")
    parameters = _parameters("the request", document.get("parameters"))
    everything = _flag("the request", parameters, BINARY_ALL, False)
    wanted = _wanted(outputs, everything)
    try:
        request = InferRequest(
            model_name=model_name,
            model_version=model_version,
            request_id=_text(document, "id", "the request") if document.get("id") is not None else "",
            inputs=_read_inputs(_objects(document, "inputs"), raw),
            parameters=parameters,
            outputs=tuple(output["name"] for output in outputs),
        )
    except TensorError as error:
        raise InvalidCallError(str(error)) from error
    if not outputs:
        return request, None if everything else frozenset()
    return request, wanted


def write_answer(
    request: InferRequest, answer: InferAnswer, version: str, binary: frozenset[str] | None
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON part where tensors follow (None = JSON only)."""
    document, raw = answer_document(request, answer, version, binary)
    text = to_json(document)
    return (text, None) if not raw else (b"".join([text, *raw]), len(text))


def answer_document(
    request: InferRequest, answer: InferAnswer, version: str, binary: frozenset[str] | None
) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON part, and the tensors that follow it."""
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, value in answer.outputs.items():
        array = tensors.to_array(value)
        output: dict[str, Any] = {
            "name": name,
            "datatype": tensors.datatype_of(array),
            "shape": list(array.shape),
        }
        if binary is None or name in binary:
            raw.append(tensors.to_bytes(array))
            output["parameters"] = {BINARY_SIZE: len(raw[-1])}
        else:
            output["data"] = tensors.to_values(array)
        outputs.append(output)
    document: dict[str, Any] = {
        "model_name": request.model_name,
        "model_version": version,
        "outputs": outputs,
    }
    if request.request_id:
        document["id"] = request.request_id
    if answer.parameters:
        document["parameters"] = dict(answer.parameters)
    return document, raw


def read_message(
    model_name: str, model_version: str, message: str | bytes
) -> tuple[InferRequest, frozenset[str] | None]:
    """As `read_request`, of a WebSocket message: text is JSON alone. Raises as it does."""
    if isinstance(message, str):
        return read_request(model_name, model_version, message.encode(), None)
    prefix = MESSAGE_LENGTH.size
    length = MESSAGE_LENGTH.unpack_from(message)[0] if len(message) >= prefix else 0
    if not 0 < length <= len(message) - prefix:
        raise InvalidCallError(
            f"a binary message of {len(message)} bytes says that its JSON has {length}; begin with the JSON's length as 4 "
            "bytes, little-endian, then send the JSON and the tensors"
        )
    return read_request(model_name, model_version, message[prefix:], str(length))


def write_message(document: Mapping[str, Any], raw: Sequence[bytes]) -> str | bytes:
    """A WebSocket message: text, or binary where tensors follow. Raises FailedError for what JSON cannot carry."""
    text = to_json(document)
    return b"".join([MESSAGE_LENGTH.pack(len(text)), text, *raw]) if raw else text.decode()


def request_document(request: InferRequest) -> dict[str, Any]:
    """The body that asks for the same, without binary tensors."""
    inputs = [
        {
            "name": name,
            "datatype": tensors.datatype_of(a),
            "shape": list(a.shape),
            "data": tensors.to_values(a),
        }
        for name, a in request.inputs.items()
    ]
    document: dict[str, Any] = {"inputs": inputs}
    if request.parameters:
        document["parameters"] = dict(request.parameters)
    return document


def to_json(document: Mapping[str, Any]) -> bytes:
    """Without spaces. Raises FailedError for what JSON cannot carry."""
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise FailedError(
            "an output holds NaN or infinity, which JSON cannot carry; ask for it with the parameter binary_data"
        ) from error


def read_only_ready(body: bytes) -> bool:
    """Of a repository index request: an empty body, or JSON with `ready`. Raises InvalidCallError."""
    ready = _split(body, None)[0].get("ready", False) if body.strip() else False
    if not isinstance(ready, bool):
        raise InvalidCallError(f"ready is {ready!r}; expected true or false")
    return ready


def whole_number(text: str) -> int | None:
    """Of a header; None if it is not one, or longer than any that we mean (`int` raises for thousands of digits)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def _split(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    length = len(body)
    if header_length is not None:
        length = whole_number(header_length) or 0
        if not 0 < length <= len(body):
            raise InvalidCallError(
                f"header {HEADER_LENGTH} is {header_length!r}; expected a number from 1 to the body's {len(body)} bytes"
            )
    try:
        document = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise InvalidCallError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidCallError(
            f"the body is a JSON {type(document).__name__}; expected an object with inputs"
        )
    return document, memoryview(body)[length:]


def _read_inputs(inputs: Sequence[Mapping[str, Any]], raw: memoryview) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    at = 0
    for tensor in inputs:
        name = _text(tensor, "name", "an input")
        datatype = _text(tensor, "datatype", f"input {name!r}")
        shape = _shape(name, tensor.get("shape"))
        if name in arrays:
            raise InvalidCallError(f"input {name!r} is given twice; give each input once")
        parameters = _parameters(f"input {name!r}", tensor.get("parameters"))
        refuse_unsupported(f"input {name!r}", parameters)
        size = parameters.get(BINARY_SIZE)
        if size is None:
            arrays[name] = tensors.from_values(name, datatype, shape, _flat(name, tensor.get("data")))
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(raw) - at:
            raise InvalidCallError(
                f"input {name!r} has {BINARY_SIZE} {size!r}, but {len(raw) - at} bytes of the body are left"
            )
        if tensor.get("data") is not None:
            raise InvalidCallError(f"input {name!r} has data and {BINARY_SIZE}; give one of them")
        arrays[name] = tensors.from_bytes(name, datatype, shape, raw[at : at + size])
        at += size
    if at != len(raw):
        raise InvalidCallError(
            f"{len(raw) - at} bytes follow the last tensor; give each input its {BINARY_SIZE}"
        )
    return arrays


def _wanted(outputs: Sequence[Mapping[str, Any]], everything: bool) -> frozenset[str]:
    """Names of the outputs that are to be binary."""
    wanted = set()
    for output in outputs:
        name = _text(output, "name", "an output")
        owner = f"output {name!r}"
        parameters = _parameters(owner, output.get("parameters"))
        refuse_unsupported(owner, parameters)
        if _flag(owner, parameters, BINARY, everything):
            wanted.add(name)
    return frozenset(wanted)


def _flat(name: str, data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidCallError(f"input {name!r} has no data; give a list, or {BINARY_SIZE} and raw bytes")
    flat: list[Any] = data
    while flat and isinstance(flat[0], list):
        if not all(isinstance(item, list) for item in flat):
            raise InvalidCallError(
                f"input {name!r} has ragged data; give a flat list or lists of equal depth"
            )
        flat = [value for item in flat for value in item]
    return flat


def _shape(name: str, shape: Any) -> list[int]:
    if not isinstance(shape, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in shape):
        raise InvalidCallError(f"input {name!r} has shape {shape!r}; expected a list of whole numbers")
    return shape


def _objects(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidCallError(f"{key} is not a list of objects")
    return value


def _text(document: Mapping[str, Any], key: str, owner: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise InvalidCallError(f"{owner} has {key} {value!r}; expected a text")
    return value


def _parameters(owner: str, value: Any) -> dict[str, Scalar]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(
        isinstance(v, str | int | float | bool) for v in value.values()
    ):
        raise InvalidCallError(f"parameters of {owner} must be an object of texts, numbers and booleans")
    return value


def _flag(owner: str, parameters: Mapping[str, Scalar], key: str, otherwise: bool) -> bool:
    value = parameters.get(key, otherwise)
    if not isinstance(value, bool):
        raise InvalidCallError(f"parameter {key} of {owner} is {value!r}; expected true or false")
    return value
