"""Ready-made request bodies, and the tensors of answers, in every format that a measured server speaks.

Used by the client only. Requests are built once, before anything is timed; answers stay bytes except those that are checked.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np

from atheria_contract.generated import inference_pb2 as pb
from bench.serving import model

GRPC: Final = "grpc"
ECHO: Final = "grpc-echo"
"""The same bytes, answered without the model's work."""
REST_BINARY: Final = "rest-binary"
REST_JSON: Final = "rest-json"
BENTO_JSON: Final = "bento-json"
FORMATS: Final = (GRPC, ECHO, REST_BINARY, REST_JSON, BENTO_JSON)

GRPC_KINDS: Final = (GRPC, ECHO)
GRPC_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_TOLERANCE: Final = 1e-3


def request_bytes(kind: str, index: int) -> bytes:
    """What caller `index` sends: a serialised ModelInferRequest, or a whole HTTP/1.1 request with its head."""
    x = model.example(index)
    if kind in GRPC_KINDS:
        message = pb.ModelInferRequest(model_name=model.NAME)
        message.inputs.add(name=model.INPUT, datatype="FP32", shape=x.shape)
        message.raw_input_contents.append(x.tobytes())
        serialised: bytes = message.SerializeToString()
        return serialised
    if kind == BENTO_JSON:
        return _post("/infer", json.dumps({model.INPUT: x.tolist()}).encode(), {})
    described: dict[str, Any] = {"name": model.INPUT, "datatype": "FP32", "shape": list(x.shape)}
    path = f"/v2/models/{model.NAME}/infer"
    if kind == REST_JSON:
        described["data"] = x.ravel().tolist()
        return _post(path, json.dumps({"inputs": [described]}).encode(), {})
    described["parameters"] = {"binary_data_size": x.nbytes}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    return _post(path, head + x.tobytes(), {_HEADER_LENGTH: str(len(head))})


def wrong(kind: str, index: int, answer: bytes, headers: dict[str, str]) -> str:
    """Why this is not the right answer for caller `index`, or "". `headers` are of HTTP, names in small letters."""
    try:
        values = _values(kind, answer, headers)
    except (ValueError, KeyError, IndexError) as error:
        return f"the answer cannot be read: {type(error).__name__}: {error}: {answer[:200]!r}"
    x = model.example(index)
    expected = (x if kind == ECHO else model.Model()(x)).ravel()
    if values.shape != expected.shape:
        return f"the answer has {values.size} numbers; expected {expected.size}"
    difference = float(np.abs(values - expected).max())
    if not difference < _TOLERANCE:
        return f"a number differs by {difference:g} from what numpy gives; allowed: {_TOLERANCE:g}"
    return ""


def _values(kind: str, answer: bytes, headers: dict[str, str]) -> model.Array:
    if kind in GRPC_KINDS:
        message = pb.ModelInferResponse.FromString(answer)
        if message.raw_output_contents:
            return np.frombuffer(message.raw_output_contents[0], np.float32)
        return np.asarray(message.outputs[0].contents.fp32_contents, np.float32)
    if kind == REST_BINARY:
        return np.frombuffer(answer, np.float32, offset=int(headers[_HEADER_LENGTH.lower()]))
    document = json.loads(answer)
    if kind == REST_JSON:
        document = document["outputs"][0]["data"]
    return np.asarray(document, np.float32).ravel()


def _post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    kind = "application/octet-stream" if headers else "application/json"
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
