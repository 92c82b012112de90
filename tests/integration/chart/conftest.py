"""Fixtures: one control plane for the lifecycle of the chart, an empty namespace and no release for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_local.control_plane import ControlPlane
from tests.integration.chart import harness


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    """A control plane with controllers: Deployments make pods, Jobs run, what belongs to the deleted goes."""
    with ControlPlane(controllers=True) as running:
        yield running


@pytest.fixture
def cluster(plane: ControlPlane, tmp_path: Path) -> Any:
    """The control plane without Atheria, whatever the test before left."""
    found = harness.Cluster(plane, tmp_path)
    found.clean()
    return found
