"""Figures that a test measures and asserts nothing of: printed among pytest's dots, for whoever reads the log."""

from __future__ import annotations

import pytest


def print_figure(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """A line of its own, whatever pytest captures."""
    with capsys.disabled():
        print(f"\n{words}")  # noqa: T201 - it is to be seen
