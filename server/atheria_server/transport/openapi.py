"""The OpenAPI document of the HTTP routes, with the served model's own names, tensors and an example that works.

Pure functions, called by `rest` for /openapi.json and by `docs_page`. LitServe's routes come from FastAPI, the routes of
`rest` from here; tests send the examples and hold the answers against the schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from atheria_server.models.contract import ModelMetadata, TensorSpec
from atheria_server.transport.openapi_schemas import (
    PARAMETERS,
    SCHEMAS,
    TENSOR_OUT,
    array_of,
    object_of,
    reference,
)

VERSION: Final = "3.1.0"
Schema = dict[str, Any]

_ERRORS: Final = {
    "400": "The request is wrong; the text names the field, its value and what is allowed.",
    "401": "No key, or none that the server knows.",
    "404": "No such model or version.",
    "413": "The request or the answer is larger than the largest message.",
    "429": "The queue is full; see Retry-After.",
    "500": "The model failed.",
    "501": "Not offered by this server or this model.",
    "503": "Loading, draining, or the worker died; see Retry-After.",
    "504": "The deadline passed.",
}
_CALL_ERRORS: Final = tuple(_ERRORS)
_NAME_ERRORS: Final = ("401", "404")


def openapi_document(
    *,
    model: str,
    model_version: str,
    server_version: str,
    metadata: ModelMetadata,
    example: Mapping[str, Any] | None,
    litserve: Mapping[str, Any],
) -> Schema:
    """The whole document. `example` = body of an infer request; `litserve` = FastAPI's document of LitServe's routes."""
    paths: Schema = {**_server_paths(model), **litserve.get("paths", {})}
    versioned = f"/versions/{quote(model_version, safe='')}"
    for suffix, note in (("", ""), (versioned, " (version named)")):
        paths |= _model_paths(f"/v2/models/{quote(model, safe='')}{suffix}", note, example)
    own = {**SCHEMAS, "InferRequest": _infer_request(metadata), "InferResponse": _infer_response(metadata)}
    return {
        "openapi": VERSION,
        "info": {
            "title": f"Model {model}",
            "version": server_version,
            "summary": "Open Inference Protocol, version 2, with Triton's extensions.",
            "description": "The same calls are offered over gRPC (server reflection tells them).",
        },
        "paths": paths,
        "components": {
            "schemas": {**litserve.get("components", {}).get("schemas", {}), **own},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _server_paths(model: str) -> Schema:
    change = f"/v2/repository/models/{quote(model, safe='')}"
    live = {"200": _json("The process answers.", reference("Live"))}
    ready = {status: _json(text, reference("Ready")) for status, text in _READY.items()}
    made = {
        "200": {
            "description": "Precision, weights, quality, compiled code.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "503": _json("The model is not loaded yet.", reference("Error")),
    }
    index = {"ready": {"type": "boolean", "description": "List ready models only."}}
    return {
        "/v2/health/live": {"get": _operation("Whether the server lives", live)},
        "/v2/health/ready": {"get": _operation("Whether the server is loaded, warm and not draining", ready)},
        "/v2/health/optimization": {
            "get": _operation("What was made of the model before it was ready", made)
        },
        "/v2": {"get": _operation("The server's name, version and extensions", _ok("ServerMetadata"), "401")},
        "/v2/models/stats": {
            "get": _operation("Statistics of every model", _ok("ModelStatisticsList"), "401")
        },
        "/v2/repository/index": {
            "post": _operation(
                "The served models",
                {"200": _json("One model.", array_of(reference("ModelIndex")))},
                *("400", "401"),
                body={"content": {"application/json": {"schema": object_of(index)}}, "required": False},
            )
        },
        f"{change}/load": {"post": _operation("Refused: one model from start to end", {}, "401", "501")},
        f"{change}/unload": {"post": _operation("Refused: one model from start to end", {}, "401", "501")},
        "/metrics": {
            "get": _operation(
                "Metrics for Prometheus",
                {"200": {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
            )
        },
    }


_READY: Final = {"200": "Ready.", "503": "Not ready."}


def _model_paths(prefix: str, note: str, example: Mapping[str, Any] | None) -> Schema:
    ready = {status: _json(text, reference("ModelReady")) for status, text in _READY.items()}
    events = {
        "description": "One event a frame (`event: frame`), then `event: final` or `event: error`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return {
        prefix: {
            "get": _operation(f"Inputs and outputs{note}", _ok("ModelMetadata"), *_NAME_ERRORS),
        },
        f"{prefix}/ready": {
            "get": _operation(f"Whether the model is ready{note}", ready, *_NAME_ERRORS),
        },
        f"{prefix}/config": {
            "get": _operation(f"The configuration, as Triton's{note}", _ok("ModelConfig"), *_NAME_ERRORS),
        },
        f"{prefix}/stats": {
            "get": _operation(f"Statistics{note}", _ok("ModelStatisticsList"), *_NAME_ERRORS),
        },
        f"{prefix}/infer": {
            "post": _operation(
                f"One answer{note}",
                {"200": _answer()},
                *_CALL_ERRORS,
                body=_infer_body(example, binary=True),
                parameters=[_HEADER_LENGTH],
            )
        },
        f"{prefix}/infer_stream": {
            "post": _operation(
                f"Frames as server-sent events{note}",
                {"200": events},
                *_CALL_ERRORS,
                body=_infer_body(example, binary=False),
                parameters=[_SLOW, _LAST_EVENT],
            )
        },
        f"{prefix}/stream": {
            "get": _operation(
                f"Frames over a WebSocket{note}: each message is an infer request, as text or binary",
                {"101": {"description": "A WebSocket."}},
                *_NAME_ERRORS,
                parameters=[_SLOW],
            )
        },
    }


_HEADER_LENGTH: Final = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "With binary tensors: bytes of the JSON part; the tensors follow it in the order of the inputs.",
    "schema": {"type": "integer", "minimum": 0},
}
_SLOW: Final = {
    "name": "slow",
    "in": "query",
    "description": "What happens when the viewer is slow: frames are dropped, or the stream waits.",
    "schema": {"enum": ["drop", "wait"], "default": "drop"},
}
_LAST_EVENT: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "Resume after this frame.",
    "schema": {"type": "integer", "minimum": 0},
}


def _operation(
    summary: str,
    responses: Schema,
    *errors: str,
    body: Schema | None = None,
    parameters: Sequence[Schema] = (),
) -> Schema:
    refusals = {status: _json(_ERRORS[status], reference("Error")) for status in errors}
    operation: Schema = {"summary": summary, "responses": {**refusals, **responses}}
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = body
    return operation


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ok(name: str) -> Schema:
    return {"200": _json("Found.", reference(name))}


def _answer() -> Schema:
    answer = _json(
        "The answer; with binary outputs `application/octet-stream`, as the request's header says it of requests.",
        reference("InferResponse"),
    )
    answer["content"]["application/octet-stream"] = {}
    answer["headers"] = {
        _HEADER_LENGTH["name"]: {"schema": _HEADER_LENGTH["schema"], "description": "With binary outputs."}
    }
    return answer


def _infer_body(example: Mapping[str, Any] | None, *, binary: bool) -> Schema:
    content: Schema = {"application/json": {"schema": reference("InferRequest")}}
    if example is not None:
        content["application/json"]["example"] = dict(example)
    if binary:
        content["application/octet-stream"] = {}
    return {"required": True, "content": content}


def _infer_request(metadata: ModelMetadata) -> Schema:
    inputs = [_tensor_in(spec) for spec in metadata.inputs] or [_tensor_in(None)]
    output = {
        "name": {"enum": [spec.name for spec in metadata.outputs]}
        if metadata.outputs
        else {"type": "string"},
        "parameters": object_of({"binary_data": {"type": "boolean"}}),
    }
    return object_of(
        {
            "id": {"type": "string", "description": "Comes back in the answer."},
            "parameters": PARAMETERS,
            "inputs": array_of({"oneOf": inputs} if len(inputs) > 1 else inputs[0]),
            "outputs": array_of(object_of(output, "name")) | {"description": "Outputs wanted; none = all."},
        },
        "inputs",
    )


def _tensor_in(spec: TensorSpec | None) -> Schema:
    size = {
        "type": "integer",
        "minimum": 0,
        "description": "Bytes of this tensor behind the JSON part; instead of `data`.",
    }
    fields: Schema = {
        **_named(spec),
        "parameters": object_of({"binary_data_size": size}),
        "data": {"type": "array", "description": "Values, flat or nested, row-major."},
    }
    return object_of(fields, "name", "datatype", "shape")


def _infer_response(metadata: ModelMetadata) -> Schema:
    outputs = [
        object_of({**_named(spec), **TENSOR_OUT}, "name", "datatype", "shape")
        for spec in metadata.outputs or (None,)
    ]
    return object_of(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": PARAMETERS,
            "outputs": array_of({"oneOf": outputs} if len(outputs) > 1 else outputs[0]),
        },
        *("model_name", "model_version", "outputs"),
    )


def _named(spec: TensorSpec | None) -> Schema:
    sizes: Schema = array_of({"type": "integer", "minimum": 0})
    if spec is None:
        return {"name": {"type": "string"}, "datatype": reference("Datatype"), "shape": sizes}
    rank = len(spec.shape)
    described = f"{list(spec.shape)}; -1 = any" + (", may be left out" if spec.optional else "")
    sizes |= {"minItems": rank, "maxItems": rank, "description": described}
    return {"name": {"const": spec.name}, "datatype": {"const": spec.datatype}, "shape": sizes}
