"""The commands of the README and the tutorials that need no cluster, as a reader types them; each page prints how long it took."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.blocks import PAGES, Stage, to_run
from tests.pages.reading import type_commands_of

pytestmark = pytest.mark.integration
RUN = [page for page in PAGES if to_run(page, Stage.ALONE)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_every_command_of_the_page_that_needs_no_cluster_does_what_the_page_shows(
    page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    type_commands_of(page, Stage.ALONE, tmp_path, capsys)
