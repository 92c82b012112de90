"""The faults of a chaos run are drawn from its seed; and what of a child counts as equal."""

from __future__ import annotations

import itertools
from typing import Any

from bench.chaos.actions import FAULTS, schedule
from bench.chaos.final_state import digest


def test_the_same_seed_draws_the_same_faults() -> None:
    assert schedule(5, until_seconds=300, mean_gap_seconds=6) == schedule(
        5, until_seconds=300, mean_gap_seconds=6
    )
    assert schedule(5, until_seconds=300, mean_gap_seconds=6) != schedule(
        6, until_seconds=300, mean_gap_seconds=6
    )


def test_every_kind_of_fault_comes_in_a_run_that_has_time_for_it() -> None:
    drawn = schedule(1, until_seconds=600, mean_gap_seconds=6)
    assert {one.fault for one in drawn} == {fault for fault, _ in FAULTS}
    assert all(0 < one.at_seconds < 600 for one in drawn)


def test_a_fault_that_is_left_out_does_not_come() -> None:
    drawn = schedule(1, until_seconds=600, mean_gap_seconds=6, without=frozenset({"kill-envoy"}))
    assert "kill-envoy" not in {one.name for one in drawn}
    assert len({one.name for one in drawn}) == len(FAULTS) - 1


def test_no_pause_between_faults_is_longer_than_twenty_seconds() -> None:
    times = [one.at_seconds for one in schedule(2, until_seconds=600, mean_gap_seconds=6)]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 20


def _deployment(**metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "steady-abc", "labels": {"a": "b"}, **metadata},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "model"}]}}},
        "status": {"readyReplicas": 1},
    }


def test_a_child_equals_its_twin_whatever_the_cluster_wrote_into_it() -> None:
    twin = _deployment(namespace="twins", uid="2", annotations={"deployment.kubernetes.io/revision": "1"})
    twin["spec"]["replicas"] = 0
    twin["status"] = {}
    child = _deployment(namespace="chaos", uid="1", annotations={"deployment.kubernetes.io/revision": "4"})
    assert digest(child) == digest(twin)


def test_a_child_with_another_label_or_template_differs_from_its_twin() -> None:
    twin = _deployment()
    assert digest(_deployment(labels={"a": "c"})) != digest(twin)
    changed = _deployment()
    changed["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 50
    assert digest(changed) != digest(twin)
    assert digest(None) == "absent"
