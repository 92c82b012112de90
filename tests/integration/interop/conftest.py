"""Fixtures: the programs of others that Atheria works with, on a control plane of their own. `atheria-local build --also` builds them."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_local.control_plane import ControlPlane
from tests.integration.interop.harness import LOGS
from tests.integration.operator import harness
from tests.integration.operator.failure_logs import show_last_lines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows the last lines of every program and operator that ran."""
    report = yield
    if report.failed and Path(__file__).parent in Path(item.fspath).parents:
        show_last_lines(report, [*LOGS, *harness.OperatorProcess.logs])
    return report


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A control plane with the chart's definitions, profiles and rights."""
    with ControlPlane(controllers=True) as plane:
        found = harness.Cluster(plane)
        found.install()
        yield found


@pytest.fixture
def run_directory() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name (108 characters in all)."""
    with tempfile.TemporaryDirectory(prefix="gw-") as name:
        yield Path(name)
