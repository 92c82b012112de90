"""Fixtures: one control plane and one operator for all tests here, a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from tests.integration.operator import harness
from tests.integration.operator.failure_logs import show_last_lines


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows the last lines of every operator that ran."""
    report = yield
    if report.failed and Path(__file__).parent in Path(item.fspath).parents:
        show_last_lines(report, harness.OperatorProcess.logs)
    return report


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A control plane with the chart's definitions, profiles and rights."""
    with ControlPlane(controllers=True) as plane:
        found = harness.Cluster(plane)
        found.install()
        yield found


@pytest.fixture(scope="session")
def operator(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The operator as a process, which other autoscalers may ask too."""
    directory = tmp_path_factory.mktemp("operator")
    environment = harness.interop_environment(cluster, directory)
    key = directory / "standby-key"
    key.write_text(harness.STANDBY_KEY)
    environment[names.ENV_STANDBY_KEY_FILE] = str(key)
    with harness.running_operator(cluster, directory, **environment) as process:
        yield process


@pytest.fixture
def bare(cluster: Any) -> Iterator[Any]:
    """An empty namespace, deleted afterwards; the operator may not run."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield harness.Namespace(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def space(operator: Any, bare: Any) -> Any:
    """An empty namespace with the operator running."""
    return bare
