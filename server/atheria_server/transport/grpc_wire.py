"""Answers of ModelInfer and ModelStreamInfer written straight into protobuf's wire format.

Through the generated messages the tensors are copied three times and their sizes are counted twice; here they are
copied once. Used by `grpc_service`; a test holds the result against the generated messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.core import tensors
from atheria_server.core.infer import InferAnswer
from atheria_server.transport.grpc_codec import write_parameters

Layout = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, datatype and shape of each output."""

_RESPONSE: Final = pb.ModelInferResponse.DESCRIPTOR.fields_by_name
_STREAM: Final = pb.ModelStreamInferResponse.DESCRIPTOR.fields_by_name
_KNOWN_LAYOUTS: Final = 256


def _tag(number: int) -> bytes:
    """Of a field with a length before it."""
    return _varint(number << 3 | 2)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ID: Final = _tag(_RESPONSE["id"].number)
_RAW: Final = _tag(_RESPONSE["raw_output_contents"].number)
_INFER: Final = _tag(_STREAM["infer_response"].number)


class AnswerWriter:
    """Writes the answers of one model."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._heads: dict[tuple[str, Layout], bytes] = {}

    def infer(self, request: Any, answer: InferAnswer) -> bytes:
        """A ModelInferResponse with raw contents, for the ModelInferRequest."""
        return b"".join(self._parts(request, answer))

    def frame(self, request: Any, answer: InferAnswer) -> bytes:
        """A ModelStreamInferResponse with the same in it."""
        parts = self._parts(request, answer)
        return b"".join([_INFER, _varint(sum(map(len, parts))), *parts])

    def _parts(self, request: Any, answer: InferAnswer) -> list[Any]:
        layout: list[tuple[str, str, tuple[int, ...]]] = []
        raws: list[Any] = []
        for name, value in answer.outputs.items():
            array = tensors.to_array(value)
            layout.append((name, tensors.datatype_of(array), array.shape))
            raw = (
                tensors.to_bytes(array) if array.dtype.kind == "O" else array.reshape(-1).view(np.uint8).data
            )
            raws += (_RAW, _varint(len(raw)), raw)
        parts: list[Any] = [self._head(request.model_name, tuple(layout))]
        if request_id := request.id.encode():
            parts += (_ID, _varint(len(request_id)), request_id)
        if answer.parameters:
            parts.append(_parameters(answer.parameters))
        return parts + raws

    def _head(self, model_name: str, layout: Layout) -> bytes:
        """Name, version and outputs: the same for most answers."""
        head = self._heads.get((model_name, layout))
        if head is None:
            message = pb.ModelInferResponse(model_name=model_name, model_version=self._version)
            for name, datatype, shape in layout:
                message.outputs.add(name=name, datatype=datatype, shape=shape)
            head = message.SerializeToString()
            if len(self._heads) >= _KNOWN_LAYOUTS:
                self._heads.clear()
            self._heads[model_name, layout] = head
        return head


def _parameters(parameters: Mapping[str, Any]) -> bytes:
    message = pb.ModelInferResponse()
    write_parameters(message.parameters, parameters)
    written: bytes = message.SerializeToString()
    return written
