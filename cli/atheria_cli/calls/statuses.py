"""Exit codes for what a server answers. Used by every command that calls models."""

from __future__ import annotations

from typing import Final

from tritonclient.utils import InferenceServerException

from atheria_cli.errors import ExitCode

_EXIT_CODES: Final = {
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "UNAVAILABLE": ExitCode.UNREACHABLE,
    "DEADLINE_EXCEEDED": ExitCode.TIMEOUT,
    "INVALID_ARGUMENT": ExitCode.USAGE,
}


def status_of(error: InferenceServerException) -> str:
    """The gRPC status in one word; empty where the client has none, as for answers within a stream."""
    return (error.status() or "").removeprefix("StatusCode.")


def exit_code_of(error: InferenceServerException) -> ExitCode:
    """FAILED for a status that has no code of its own."""
    return _EXIT_CODES.get(status_of(error), ExitCode.FAILED)
