"""Every way a call can fail, with its gRPC status and HTTP status: one table for both transports and the engine."""

from __future__ import annotations

from typing import Final


class CallError(Exception):
    """A call that gets no result. `code` is a key of STATUS; the text goes to the caller."""

    code = "INTERNAL"


class InvalidCallError(CallError):
    """The caller's fault."""

    code = "INVALID_ARGUMENT"


class UnknownModelError(CallError):
    """No such model or version here."""

    code = "NOT_FOUND"


class FullError(CallError):
    """The queue is at its bound; trying again later may help."""

    code = "RESOURCE_EXHAUSTED"


class ExpiredError(CallError):
    """The deadline passed before the result."""

    code = "DEADLINE_EXCEEDED"


class UnavailableError(CallError):
    """Not ready, draining, or the worker died; another pod may do."""

    code = "UNAVAILABLE"


class FailedError(CallError):
    """The model raised."""

    code = "INTERNAL"


class UnsupportedError(CallError):
    """The model cannot do this, e.g. stream."""

    code = "UNIMPLEMENTED"


HTTP_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
    "UNAVAILABLE": 503,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
}
BY_CODE: Final[dict[str, type[CallError]]] = {
    kind.code: kind
    for kind in (
        InvalidCallError, UnknownModelError, FullError, ExpiredError, UnavailableError, UnsupportedError, FailedError
    )
}
