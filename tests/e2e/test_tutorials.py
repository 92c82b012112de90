"""The README and the tutorials as a reader types them, on the local cluster; each page prints how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_cli.cluster import Cluster
from atheria_cli.demo.show import NAMESPACE
from tests.pages.blocks import PAGES, Stage, to_run
from tests.pages.reading import type_commands_of

RUN = [page for page in PAGES if to_run(page, Stage.CLUSTER)]


@pytest.fixture(scope="module")
def after_make_demo(cluster: Cluster, bare: Any) -> Iterator[None]:
    """The namespace that `make demo` leaves; removed afterwards where it is not a person's."""
    namespace = cluster.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "yaml")
    cluster.kubectl("apply", "-f", "-", stdin=namespace)
    yield
    if not bare.was_up:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", timeout_seconds=180)


@pytest.fixture
def alone(after_make_demo: None, cluster: Cluster, bare: Any) -> Iterator[None]:
    """What a page leaves when it fails is not in the way of the next one; a person's models stay."""
    yield
    if not bare.was_up:
        cluster.kubectl("delete", "atheriamodels", "--all", "-n", NAMESPACE, timeout_seconds=120)


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_every_command_of_the_page_does_what_the_page_shows(
    page: Path, alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    type_commands_of(page, Stage.CLUSTER, tmp_path, capsys)
