"""Every way a call or a start can fail; `transport.errors` maps the calls' failures to both protocols."""

from __future__ import annotations

from typing import Final


class CallError(Exception):
    """A call that gets no result. `code` is a name of grpc.StatusCode; the text goes to the caller."""

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


class TooLargeError(CallError):
    """A message beyond the configured size; trying again does not help."""

    code = "RESOURCE_EXHAUSTED"


class ExpiredError(CallError):
    """The deadline passed before the result."""

    code = "DEADLINE_EXCEEDED"


class UnavailableError(CallError):
    """Not ready, draining, or the worker died; another pod may do."""

    code = "UNAVAILABLE"


class NotBegunError(UnavailableError):
    """This server refuses the call before it began, because it is going or not there yet: another pod may take it."""


class FailedError(CallError):
    """The model raised."""

    code = "INTERNAL"


class UnsupportedError(CallError):
    """The model cannot do this, e.g. stream."""

    code = "UNIMPLEMENTED"


BY_CODE: Final[dict[str, type[CallError]]] = {
    kind.code: kind
    for kind in (
        InvalidCallError,
        UnknownModelError,
        FullError,
        ExpiredError,
        UnavailableError,
        UnsupportedError,
        FailedError,
    )
}
"""From the code that a worker sends back to the error."""


class StartError(Exception):
    """The server cannot serve: the text is the one line that the process ends with."""
