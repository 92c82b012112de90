"""The status from what is observed."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.status.conditions import Condition, merge_conditions
from atheria_operator.domain.status.report import START
from atheria_operator.domain.status.summary import StatusInput, build_status, needs_write

KEY = ModelKey(namespace="demo", name="qca")
NOW, LATER = "2026-01-01T00:00:09Z", "2026-01-01T00:01:00Z"


def deployment(revision: str, replicas: int, **status: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {
            "name": f"qca-{revision}",
            "labels": {names.LABEL_REVISION: revision},
            "ownerReferences": [{"uid": "u"}],
        },
        "spec": {"replicas": replicas},
        "status": status,
    }


def pod(name: str, revision: str, *, ready: bool, **metadata: Any) -> dict[str, Any]:
    truth = "True" if ready else "False"
    return {
        "metadata": {
            "name": name,
            "labels": {names.LABEL_REVISION: revision},
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **metadata,
        },
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
                {"type": "Ready", "status": truth, "lastTransitionTime": "2026-01-01T00:00:06Z"},
            ],
            "containerStatuses": [
                {"name": "model", "ready": ready, "state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}}}
            ],
        },
    }


def status_of(*objects: Any, desired: str = "qca-b", active: str = "qca-b", **more: Any) -> dict[str, Any]:
    children = {(o["kind"], o["metadata"]["name"]): o for o in objects if "kind" in o}
    observed = Observed(children=children, pods=tuple(o for o in objects if "kind" not in o))
    given = StatusInput(
        key=KEY,
        uid="u",
        generation=3,
        observed=observed,
        desired_revision=desired,
        active_revision=active,
        **more,
    )
    return build_status(given, NOW)


def facts(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_a_ready_pod_makes_ready_warm_and_active_and_is_measured() -> None:
    status = status_of(deployment("b", 2), pod("p", "b", ready=True), pod("q", "b", ready=False))
    assert facts(status) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("True", "Ready"),
        "Warm": ("True", "WarmedUp"),
        "Active": ("True", "Scaled"),
        "QualityAccepted": ("Unknown", "NotJudged"),
    }
    assert (status["replicas"], status["readyReplicas"], status["phase"]) == (2, 1, "Serving")
    assert status["coldStart"] == {
        "pod": "p",
        "revision": "qca-b",
        "startedAt": "2026-01-01T00:00:00Z",
        "scheduledSeconds": 1.0,
        "startedSeconds": 2.0,
        "readySeconds": 3.0,
        "totalSeconds": 6.0,
    }
    assert all(c["observedGeneration"] == 3 for c in status["conditions"])


def test_what_the_server_measured_of_its_start_is_added_when_it_has_told() -> None:
    objects = (deployment("b", 1), pod("p", "b", ready=True))
    before = status_of(*objects)
    inside = {"importSeconds": 1.4, "loadSeconds": 0.1, "warmupSeconds": 0.2}
    told = {
        "p/2026-01-01T00:00:03Z": {START: inside},
        "q/2026-01-01T00:00:03Z": {START: {"importSeconds": 9.0}},
    }
    status = status_of(*objects, before=before, reports=told)
    assert status["coldStart"] == {**before["coldStart"], "server": inside}
    assert status["starts"] == before["starts"]
    # A new operator has no reports yet: what is stored stays.
    assert status_of(*objects, before=status)["coldStart"] == status["coldStart"]


def test_zero_pods_is_ready_but_neither_warm_nor_active_and_the_last_cold_start_stays() -> None:
    before = {"coldStart": {"pod": "p", "totalSeconds": 6.0}}
    status = status_of(deployment("b", 0), before=before)
    assert facts(status) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("True", "ScaledToZero"),
        "Warm": ("False", "ScaledToZero"),
        "Active": ("False", "ScaledToZero"),
        "QualityAccepted": ("Unknown", "NotJudged"),
    }
    assert status["coldStart"] == before["coldStart"]


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ([], ("Unknown", "Creating")),
        ([deployment("b", 1)], ("Unknown", "Creating")),
        ([deployment("b", 1), pod("p", "b", ready=False)], ("Unknown", "Loading")),
        (
            [
                deployment(
                    "b", 1, conditions=[{"type": "ReplicaFailure", "status": "True", "message": "quota"}]
                )
            ],
            ("False", "PodRefused"),
        ),
        (
            [deployment("b", 1), pod("p", "b", ready=True, deletionTimestamp="2026-01-01T00:00:08Z")],
            ("Unknown", "Creating"),
        ),
    ],
    ids=["nothing yet", "no pod yet", "loading", "pods are refused", "only a pod that goes"],
)
def test_before_the_first_ready_pod_ready_says_how_far_it_is(
    objects: list[Any], expected: tuple[str, str]
) -> None:
    assert facts(status_of(*objects))["Ready"] == expected


def test_while_a_new_revision_starts_ready_is_unknown_and_names_who_still_answers() -> None:
    status = status_of(deployment("a", 1), pod("p", "a", ready=True), deployment("b", 1), active="qca-a")
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Creating")
    assert ready["message"].endswith("calls still go to revision qca-a")
    assert facts(status)["Warm"] == ("True", "WarmedUp")
    assert [(r["name"], r["weight"]) for r in status["revisions"]] == [("qca-a", 100), ("qca-b", 0)]


def test_a_problem_with_the_spec_is_not_accepted_and_not_ready() -> None:
    problem = Problem(reason="UnknownSource", message="no such model")
    found = facts(status_of(desired="", active="", problem=problem))
    assert found == {
        "Accepted": ("False", "UnknownSource"),
        "Ready": ("False", "UnknownSource"),
        "Warm": ("False", "UnknownSource"),
        "Active": ("False", "NoRevision"),
        "QualityAccepted": ("Unknown", "UnknownSource"),
    }


def test_the_time_of_a_transition_changes_with_the_status_only() -> None:
    def merged(old: list[Any], truth: Any, reason: str, now: str) -> Any:
        return merge_conditions(
            old, [Condition(type="Ready", status=truth, reason=reason, message="m")], 1, now
        )

    first = merged([], "True", "Ready", NOW)
    assert first[0]["lastTransitionTime"] == NOW
    same = merged(first, "True", "ScaledToZero", LATER)
    assert (same[0]["lastTransitionTime"], same[0]["reason"]) == (NOW, "ScaledToZero")
    assert merged(same, "False", "x", LATER)[0]["lastTransitionTime"] == LATER


def test_defaults_that_the_api_server_stores_are_no_difference() -> None:
    status = status_of(deployment("b", 0))
    stored = {**status, "evaluation": {}, "warmup": [], "rollout": {"history": [], "note": ""}}
    assert not needs_write(stored, {**status, "rollout": {}})


def test_only_a_change_of_the_queue_is_not_worth_a_write() -> None:
    status = status_of(deployment("b", 0), calls=1)
    assert not needs_write({**status, "queue": 7}, status)
    assert needs_write({**status, "phase": "Other"}, status)
