"""The release is changed while calls run: gateway, operator and definitions are replaced, and no call is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atheria_cli.cluster import Cluster
from atheria_contract import names
from bench.release import changes, local_cluster
from bench.release.calls import SteadyCalls, Targets

PER_SECOND = 6.0
"""On each of five ways: 30 in all."""
VALUES = ("gateway.terminationDelaySeconds=4", "gateway.drainSeconds=6")
"""Time for a node that has other work."""
MODEL = "steady"


@pytest.fixture
def steady(cluster: Cluster) -> Iterator[Targets]:
    """A warm model, and the release as it was before: the released chart's objects. Afterwards the present ones, whatever happened.

    Its images are the present ones, so its operator lacks rights and rests; calls do not need it.
    """
    targets = local_cluster.serve_echo(cluster, MODEL)
    old = local_cluster.chart_arguments(local_cluster.RELEASED, VALUES)
    try:
        cluster.helm("upgrade", "atheria", *old, *local_cluster.helm_arguments())
        yield targets
    finally:
        present = local_cluster.chart_arguments(local_cluster.CHART)
        cluster.helm("upgrade", "atheria", *present, *local_cluster.helm_arguments())
        cluster.kubectl(
            *("delete", names.MODEL_PLURAL, MODEL, "-n", local_cluster.NAMESPACE, "--timeout=60s"),
            timeout_seconds=90,
        )
        cluster.kubectl("delete", "namespace", local_cluster.NAMESPACE, timeout_seconds=180)


def test_no_call_is_lost_while_the_release_is_upgraded_and_rolled_back(
    cluster: Cluster, steady: Targets
) -> None:
    with SteadyCalls(steady, PER_SECOND) as calls:
        made = [changes.upgrade(cluster, calls, *VALUES), changes.rollback(cluster, calls)]
    for one in made:
        assert one.replaced == changes.PARTS, one
        assert one.redefined, one
        assert len(one.calls(calls.done)) >= 20 * one.seconds, one
    assert calls.lost == []
