"""Schemas of the OpenAPI document that are the same for every model, and the words that `openapi` builds others from."""

from __future__ import annotations

from typing import Any, Final

from atheria_contract import names
from atheria_server.core.tensors import BYTES, DTYPES

Schema = dict[str, Any]


def reference(name: str) -> Schema:
    """To a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def object_of(properties: Schema, *required: str) -> Schema:
    """An object; further fields are allowed."""
    found: Schema = {"type": "object", "properties": properties}
    return {**found, "required": list(required)} if required else found


_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_SHAPE: Final = array_of({"type": "integer", "minimum": -1})

PARAMETERS: Final[Schema] = {
    "type": "object",
    "description": "Of the protocol (timeout, binary_data_output, from_frame, ...) and of the model.",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
TENSOR_OUT: Final[Schema] = {
    "parameters": object_of({"binary_data_size": _COUNT}),
    "data": {"type": "array", "description": "Values, flat and row-major."},
}
_TENSOR: Final = object_of(
    {"name": _TEXT, "datatype": reference("Datatype"), "shape": _SHAPE}, "name", "datatype", "shape"
)
_CONFIG_TENSOR: Final = object_of(
    {"name": _TEXT, "data_type": _TEXT, "dims": _SHAPE, "optional": _FLAG}, "name", "data_type", "dims"
)
_STAGES: Final = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
_BATCHING: Final = object_of(
    {
        "max_queue_delay_microseconds": _COUNT,
        "priority_levels": _COUNT,
        "default_priority_level": _COUNT,
    }
)
_GROUP: Final = object_of({"name": _TEXT, "count": _COUNT})

SCHEMAS: Final[Schema] = {
    "Datatype": {"enum": [*DTYPES, BYTES]},
    "Error": object_of({"error": _TEXT}, "error"),
    "Live": object_of({"live": _FLAG}, "live"),
    "Ready": object_of({"ready": _FLAG, "reason": _TEXT, names.READY_IN_FLIGHT: _COUNT}, "ready"),
    "ModelReady": object_of({"name": _TEXT, "ready": _FLAG}, "name", "ready"),
    "ServerMetadata": object_of(
        {"name": _TEXT, "version": _TEXT, "extensions": array_of(_TEXT)}, "name", "version", "extensions"
    ),
    "ModelMetadata": object_of(
        {
            "name": _TEXT,
            "versions": array_of(_TEXT),
            "platform": _TEXT,
            "inputs": array_of(_TENSOR),
            "outputs": array_of(_TENSOR),
        },
        *("name", "versions", "platform", "inputs", "outputs"),
    ),
    "ModelConfig": object_of(
        {
            "name": _TEXT,
            "platform": _TEXT,
            "backend": _TEXT,
            "max_batch_size": _COUNT,
            "input": array_of(_CONFIG_TENSOR),
            "output": array_of(_CONFIG_TENSOR),
            "dynamic_batching": _BATCHING,
            "instance_group": array_of(_GROUP),
            "parameters": {
                "type": "object",
                "additionalProperties": object_of({"string_value": _TEXT}, "string_value"),
            },
            "model_transaction_policy": object_of({"decoupled": _FLAG}),
        },
        *("name", "platform", "max_batch_size", "input", "output"),
    ),
    "Duration": object_of({"count": _COUNT, "ns": _COUNT}, "count", "ns"),
    "ModelStatistics": object_of(
        {
            "name": _TEXT,
            "version": _TEXT,
            "last_inference": _COUNT,
            "inference_count": _COUNT,
            "execution_count": _COUNT,
            "inference_stats": object_of({stage: reference("Duration") for stage in _STAGES}, *_STAGES),
            "batch_stats": array_of(
                object_of(
                    {"batch_size": _COUNT, "compute_infer": reference("Duration")},
                    *("batch_size", "compute_infer"),
                )
            ),
        },
        *("name", "version", "inference_count", "execution_count", "inference_stats", "batch_stats"),
    ),
    "ModelStatisticsList": object_of({"model_stats": array_of(reference("ModelStatistics"))}, "model_stats"),
    "ModelIndex": object_of(
        {
            "name": _TEXT,
            "version": _TEXT,
            "state": {"enum": ["READY", "UNAVAILABLE"]},
            "reason": _TEXT,
        },
        *("name", "version", "state", "reason"),
    ),
}
