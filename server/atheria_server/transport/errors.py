"""The one place that turns a failed call into a status: a gRPC code with its name, and an HTTP status."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from atheria_server.core.errors import CallError, NotBegunError, TooLargeError, UnreadError
from atheria_server.transport.status_details import TRAILER, status_details

HTTP_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
    "UNAVAILABLE": 503,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
}

REFUSALS: Final = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
RETRY_AFTER_SECONDS: Final = 1
"""Told to callers of a full or draining server, by `retry-after` in HTTP and `retry-after-ms` in gRPC."""


def http_status(error: CallError) -> int:
    """E.g. 429 for a full queue, 413 for a body that will never fit."""
    return 413 if isinstance(error, TooLargeError) else HTTP_STATUS[error.code]


def http_headers(error: CallError) -> dict[str, str]:
    """When to try again, and for the gateway that it may do so elsewhere at once."""
    headers = {"retry-after": str(RETRY_AFTER_SECONDS)} if _may_retry(error) else {}
    return headers | _refusal(error)


def grpc_trailers(error: CallError) -> tuple[tuple[str, str | bytes], ...]:
    """The same for gRPC, whose clients wait in milliseconds; refusals also say so as google.rpc.Status."""
    trailers: dict[str, str | bytes] = {}
    if _may_retry(error):
        trailers["retry-after-ms"] = str(RETRY_AFTER_SECONDS * 1000)
    if error.code in REFUSALS:
        trailers[TRAILER] = status_details(error, RETRY_AFTER_SECONDS if _may_retry(error) else None)
    return tuple((trailers | _refusal(error)).items())


def _may_retry(error: CallError) -> bool:
    """Whether the same call may succeed a little later. One that was read too slowly would be again; `from_frame` continues it."""
    return error.code in REFUSALS and not isinstance(error, TooLargeError | UnreadError)


def _refusal(error: CallError) -> dict[str, str]:
    return {names.HEADER_REFUSED: names.REFUSED_DRAINING} if isinstance(error, NotBegunError) else {}
