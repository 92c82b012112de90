"""What a failed test shows of the programs that it ran. Called by the conftest here and by that of tests/integration/interop."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

_LOG_LINES: Final = 80


def show_last_lines(report: pytest.TestReport, logs: Iterable[Path]) -> None:
    """Add the last lines of each log that is there to the report, by name."""
    for log in sorted(set(logs)):
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            report.sections.append((str(log), "\n".join(lines)))
