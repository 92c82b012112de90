"""How a command ends when it cannot do its work: one sentence for a person, one exit code for a program.

Raised by every command; `reporting.ReportingCommand` prints it and leaves.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What `atheria` ends with; documented in docs/cli.md."""

    DONE = 0
    FAILED = 1
    """Refused or failed: the message says by whom."""
    USAGE = 2
    """Wrong arguments; nothing was sent anywhere."""
    NOT_FOUND = 3
    """The model, file or object does not exist."""
    UNREACHABLE = 4
    """No cluster or gateway answers there."""
    TIMEOUT = 5
    """What was waited for did not happen in time."""
    CHANGES = 6
    """Only of `plan --exit-code`: applying would change something."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandError(Exception):
    """A command cannot do its work. The message names what was given, what is allowed, and the next step."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
