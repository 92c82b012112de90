"""Fixtures: the programs of others that Atheria works with, on a control plane of their own. `atheria-local build --also` builds them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_local.control_plane import ControlPlane
from tests.integration.operator import harness


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.integration)


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
