"""Every way a call or a start can fail; `transport.errors` maps the calls' failures to both protocols."""

from __future__ import annotations

from typing import Final

MAX_TEXT_BYTES: Final = 1000
"""Of an error's text: gRPC drops answers with more than 8 KiB of metadata, where the text stands twice and escaped."""


class CallError(Exception):
    """A call that gets no result. `code` is a name of grpc.StatusCode; the text goes to the caller.

    `reason` tells apart what the code does not, for programs: in ErrorInfo, and in small letters in the metrics.
    """

    code = "INTERNAL"
    reason = "MODEL_FAILED"

    def __init__(self, text: str) -> None:
        """Of a long text, such as one that quotes what a caller sent, the beginning and the end stay."""
        super().__init__(shortened(text))


def shortened(text: str) -> str:
    """At most MAX_TEXT_BYTES of UTF-8, and a word on what was left out in the middle: what is allowed stands at the end."""
    raw = text.encode(errors="replace")
    if len(raw) <= MAX_TEXT_BYTES:
        return text
    half = MAX_TEXT_BYTES // 2
    head, tail = raw[:half].decode(errors="ignore"), raw[-half:].decode(errors="ignore")
    return f"{head}... ({len(raw) - 2 * half} more bytes) ...{tail}"


class InvalidCallError(CallError):
    """The caller's fault."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_REQUEST"


class UnknownModelError(CallError):
    """No such model or version here."""

    code = "NOT_FOUND"
    reason = "UNKNOWN_MODEL"


class FullError(CallError):
    """The queue is at its bound; trying again later may help."""

    code = "RESOURCE_EXHAUSTED"
    reason = "QUEUE_FULL"


class CallerLimitError(CallError):
    """This caller has as many calls in flight as one may; trying again when one is answered helps."""

    code = "RESOURCE_EXHAUSTED"
    reason = "CALLER_LIMIT"


class UnreadError(CallError):
    """The frames of a stream were not read while there was room for them; reading faster helps."""

    code = "RESOURCE_EXHAUSTED"
    reason = "UNREAD"


class TooLargeError(CallError):
    """A message beyond the configured size; trying again does not help."""

    code = "RESOURCE_EXHAUSTED"
    reason = "TOO_LARGE"


class ExpiredError(CallError):
    """The deadline passed before the result."""

    code = "DEADLINE_EXCEEDED"
    reason = "EXPIRED"


class UnavailableError(CallError):
    """The server ended before the answer; another pod may do."""

    code = "UNAVAILABLE"
    reason = "STOPPED"


class WorkerLostError(UnavailableError):
    """The worker process died while it had the call."""

    reason = "WORKER_DIED"


class NotBegunError(UnavailableError):
    """This server refuses the call before it began, because it is going or not there yet: another pod may take it."""

    reason = "DRAINING"


class NotReadyError(NotBegunError):
    """The model is not loaded yet."""

    reason = "NOT_READY"


class FailedError(CallError):
    """The model raised."""

    code = "INTERNAL"


class UnsupportedError(CallError):
    """The model cannot do this, e.g. stream."""

    code = "UNIMPLEMENTED"
    reason = "UNSUPPORTED"


REJECTIONS: Final = frozenset(
    {
        "INVALID_REQUEST",
        "UNKNOWN_MODEL",
        "QUEUE_FULL",
        "CALLER_LIMIT",
        "TOO_LARGE",
        "UNSUPPORTED",
        "DRAINING",
        "NOT_READY",
    }
)
"""Reasons of calls that were never computed (too large: or whose answer nobody could have got)."""

FAULTS: Final = frozenset({"MODEL_FAILED", "WORKER_DIED", "STOPPED"})
"""Reasons that are the server's or the model's fault, not the caller's or the load's."""

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


class ModelRefusedError(ValueError):
    """A worker will not serve the model: its settings, weights or results are not what they must be.

    `reason` is one of REFUSALS; the operator reads it at the beginning of the process's last line. Other exceptions
    that have such a `reason` are told in the same way.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


PRECISION_UNSUPPORTED: Final = "PrecisionUnsupported"
QUALITY_REJECTED: Final = "QualityRejected"
COMPILE_FAILED: Final = "CompileFailed"
WARMUP_FAILED: Final = "WarmupFailed"
SOURCE_UNAVAILABLE: Final = "SourceUnavailable"
DIGEST_MISMATCH: Final = "DigestMismatch"
WEIGHTS_INVALID: Final = "WeightsInvalid"
REFUSALS: Final = frozenset(
    {
        PRECISION_UNSUPPORTED,
        QUALITY_REJECTED,
        COMPILE_FAILED,
        WARMUP_FAILED,
        SOURCE_UNAVAILABLE,
        DIGEST_MISMATCH,
        WEIGHTS_INVALID,
    }
)


def start_failure(error: Exception) -> str:
    """`Reason: text` for an exception that keeps a model from being served: its own reason, or its type."""
    reason = getattr(error, "reason", "")
    kind = reason if isinstance(reason, str) and reason in REFUSALS else type(error).__name__
    return f"{kind}: {error}"
