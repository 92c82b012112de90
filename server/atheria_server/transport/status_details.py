"""Machine-readable reasons of refusals: google.rpc.Status with ErrorInfo and RetryInfo, for `grpc-status-details-bin`."""

from __future__ import annotations

from typing import Any, Final

import grpc

from atheria_contract import names
from atheria_server.core.errors import CallError
from atheria_server.transport.descriptors import message_classes

TRAILER: Final = "grpc-status-details-bin"
_RPC: Final = message_classes(
    "atheria_rpc.proto",
    "google.rpc",
    {
        "Status": {
            "code": (1, "int32"),
            "message": (2, "string"),
            "details": (3, "repeated google.protobuf.Any"),
        },
        "RetryInfo": {"retry_delay": (1, "google.protobuf.Duration")},
        "ErrorInfo": {"reason": (1, "string"), "domain": (2, "string"), "metadata": (3, "map string")},
    },
)
STATUS: Final[Any] = _RPC["Status"]
RETRY_INFO: Final[Any] = _RPC["RetryInfo"]
ERROR_INFO: Final[Any] = _RPC["ErrorInfo"]


def status_details(error: CallError, retry_after_seconds: float | None) -> bytes:
    """The trailer's value: always an ErrorInfo of domain atheria.dev, and a RetryInfo where a later try may succeed."""
    code = grpc.StatusCode[error.code].value[0]
    status = STATUS(code=code, message=str(error))
    status.details.add().Pack(ERROR_INFO(reason=error.reason, domain=names.GROUP))
    if retry_after_seconds is not None:
        retry = RETRY_INFO()
        retry.retry_delay.FromNanoseconds(round(retry_after_seconds * 1e9))
        status.details.add().Pack(retry)
    data: bytes = status.SerializeToString()
    return data
