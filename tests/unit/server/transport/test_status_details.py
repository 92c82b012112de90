"""What a program can read from a refusal."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_server.core.errors import (
    CallError,
    FullError,
    InvalidCallError,
    NotBegunError,
    NotReadyError,
    TooLargeError,
    WorkerLostError,
)
from atheria_server.transport.errors import grpc_trailers
from atheria_server.transport.status_details import ERROR_INFO, RETRY_INFO, STATUS, TRAILER


def read(error: CallError) -> tuple[Any, Any, Any]:
    status = STATUS.FromString(dict(grpc_trailers(error))[TRAILER])
    info, retry = ERROR_INFO(), RETRY_INFO()
    assert status.details[0].Unpack(info)
    found = len(status.details) > 1 and status.details[1].Unpack(retry)
    return status, info, retry if found else None


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (FullError("full"), 8, "QUEUE_FULL"),
        (WorkerLostError("died"), 14, "WORKER_DIED"),
        (NotBegunError("going"), 14, "DRAINING"),
        (NotReadyError("loading"), 14, "NOT_READY"),
    ],
)
def test_a_refusal_names_its_reason_and_when_to_try_again(error: CallError, code: int, reason: str) -> None:
    status, info, retry = read(error)
    assert (status.code, status.message) == (code, str(error))
    assert (info.reason, info.domain) == (reason, "atheria.dev")
    assert retry.retry_delay.seconds == 1
    assert [detail.type_url for detail in status.details] == [
        "type.googleapis.com/google.rpc.ErrorInfo",
        "type.googleapis.com/google.rpc.RetryInfo",
    ]


def test_a_message_that_is_too_large_has_a_reason_but_no_time_to_try_again() -> None:
    _, info, retry = read(TooLargeError("x"))
    assert info.reason == "TOO_LARGE"
    assert retry is None


def test_the_callers_own_faults_have_no_details() -> None:
    assert TRAILER not in dict(grpc_trailers(InvalidCallError("x")))
