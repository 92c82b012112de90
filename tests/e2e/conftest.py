"""The local cluster with the chart installed and our images loaded: what a user of `make demo` has.

Needs root and Linux; elsewhere every test here is skipped with that reason. A cluster that was up before the tests is
used as it is and left up; otherwise the tests end what they started.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from atheria_cli.cluster import Cluster
from atheria_cli.demo.show import DemoOptions, install
from tests.e2e.local_cluster import ROOT, bare_cluster, local
from tests.e2e.objects import everything

NAMESPACE = "e2e"


def _why_not() -> str:
    if platform.system() != "Linux":
        return f"end-to-end tests need Linux (this is {platform.system()}): the local cluster uses its namespaces"
    if os.geteuid() != 0:
        return "end-to-end tests need root: the local cluster makes network namespaces and mounts"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    reason = _why_not()
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.e2e)
            # A test's own waits end long before; the first of a file may have to bring the cluster and a release up.
            item.add_marker(pytest.mark.timeout(1500))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """The cluster without a release, our images loaded."""

    cluster: Cluster
    was_up: bool
    objects: frozenset[str]
    """All that was there; empty where the cluster was up before, since a release may have been on it."""


@pytest.fixture(scope="session")
def bare() -> Iterator[Bare]:
    """The local cluster; ended afterwards unless it was up before."""
    with bare_cluster(local) as was_up:
        found = Cluster(programs=ROOT / ".local" / "bin", kubeconfig=ROOT / ".local" / "kubeconfig")
        yield Bare(cluster=found, was_up=was_up, objects=frozenset() if was_up else everything(found))


@pytest.fixture(scope="session")
def cluster(bare: Bare) -> Iterator[Cluster]:
    """A running cluster with operator and gateway ready, and the namespace `e2e`."""
    found = bare.cluster
    install(
        found, DemoOptions(repository=ROOT, local=True, context="", values=(), picture=Path("unused.png"))
    )
    namespace = found.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "yaml")
    found.kubectl("apply", "-f", "-", stdin=namespace)
    yield found
    if bare.was_up:
        found.kubectl("delete", "namespace", NAMESPACE, "--wait=true", timeout_seconds=180)
