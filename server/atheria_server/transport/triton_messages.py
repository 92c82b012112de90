"""Messages of ModelConfig, ModelStatistics and the repository calls: Triton's extensions of the protocol.

Field numbers are Triton's. Of ModelConfig only the fields that this server can fill are here; the rest are absent,
which on the wire is the same as unset. A test compares every one with tritonclient's own.
"""

from __future__ import annotations

from typing import Final

from atheria_server.transport.descriptors import message_classes

DATA_TYPES: Final = (
    "TYPE_INVALID",
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
)
_NAME_AND_VERSION: Final = {"name": (1, "string"), "version": (2, "string")}
_DURATION: Final = "StatisticDuration"

MESSAGES: Final = message_classes(
    "atheria_triton.proto",
    "inference",
    {
        "ModelInput": {
            "name": (1, "string"),
            "data_type": (2, "enum DataType"),
            "dims": (4, "repeated int64"),
            "optional": (8, "bool"),
        },
        "ModelOutput": {
            "name": (1, "string"),
            "data_type": (2, "enum DataType"),
            "dims": (3, "repeated int64"),
        },
        "ModelDynamicBatching": {"max_queue_delay_microseconds": (2, "uint64")},
        "ModelTransactionPolicy": {"decoupled": (1, "bool")},
        "ModelInstanceGroup": {"name": (1, "string"), "count": (2, "int32")},
        "ModelParameter": {"string_value": (1, "string")},
        "ModelConfig": {
            "name": (1, "string"),
            "platform": (2, "string"),
            "backend": (17, "string"),
            "max_batch_size": (4, "int32"),
            "input": (5, "repeated ModelInput"),
            "output": (6, "repeated ModelOutput"),
            "dynamic_batching": (11, "ModelDynamicBatching"),
            "instance_group": (7, "repeated ModelInstanceGroup"),
            "parameters": (14, "map ModelParameter"),
            "model_transaction_policy": (19, "ModelTransactionPolicy"),
        },
        "ModelConfigRequest": _NAME_AND_VERSION,
        "ModelConfigResponse": {"config": (1, "ModelConfig")},
        _DURATION: {"count": (1, "uint64"), "ns": (2, "uint64")},
        "InferStatistics": {
            "success": (1, _DURATION),
            "fail": (2, _DURATION),
            "queue": (3, _DURATION),
            "compute_input": (4, _DURATION),
            "compute_infer": (5, _DURATION),
            "compute_output": (6, _DURATION),
        },
        "InferBatchStatistics": {"batch_size": (1, "uint64"), "compute_infer": (3, _DURATION)},
        "ModelStatistics": {
            **_NAME_AND_VERSION,
            "last_inference": (3, "uint64"),
            "inference_count": (4, "uint64"),
            "execution_count": (5, "uint64"),
            "inference_stats": (6, "InferStatistics"),
            "batch_stats": (7, "repeated InferBatchStatistics"),
        },
        "ModelStatisticsRequest": _NAME_AND_VERSION,
        "ModelStatisticsResponse": {"model_stats": (1, "repeated ModelStatistics")},
        "RepositoryIndexRequest": {"repository_name": (1, "string"), "ready": (2, "bool")},
        "RepositoryIndexResponse": {"models": (1, "repeated RepositoryIndexResponse.ModelIndex")},
        "RepositoryIndexResponse.ModelIndex": {
            **_NAME_AND_VERSION,
            "state": (3, "string"),
            "reason": (4, "string"),
        },
    },
    {"DataType": DATA_TYPES},
)
"""Classes by name."""
