"""A page as a reader goes through it: its commands for one stage, in order, in one terminal. Used by the tests of both stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.blocks import ROOT, Stage, to_run
from tests.pages.figures import print_figure
from tests.pages.terminal import Terminal


def type_commands_of(page: Path, stage: Stage, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run them in `folder`, and print how long each took. AssertionError where one does other than the page shows."""
    with Terminal(folder) as terminal:
        try:
            for block in to_run(page, stage):
                terminal.run(block)
            terminal.interrupt()
        finally:
            print_figure(capsys, f"{page.relative_to(ROOT)}: {terminal.told()}")
