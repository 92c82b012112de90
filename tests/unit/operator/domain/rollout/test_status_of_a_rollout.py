"""What the status and the Events say of a rollout."""

from __future__ import annotations

from typing import Any

from atheria_operator.domain.status.conditions import Condition
from atheria_operator.domain.status.rollout import (
    PROGRESSING,
    UPGRADE_AVAILABLE,
    RolloutParts,
    of_held_back,
    parts_before,
    rollout_events,
)


def status(reason: str, *, active: str = "a", upgrade: str = "False", **rollout: Any) -> dict[str, Any]:
    return {
        "activeRevision": active,
        "rollout": rollout,
        "conditions": [
            {"type": PROGRESSING, "status": "True", "reason": reason, "message": f"{reason} with numbers"},
            {"type": UPGRADE_AVAILABLE, "status": upgrade, "reason": "X", "message": "images"},
        ],
    }


def reasons(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, bool, str]]:
    return [(kind, is_warning, reason) for kind, is_warning, reason, _ in rollout_events(before, after)]


def test_each_transition_is_one_event_with_its_numbers() -> None:
    step = status("CanaryStep", candidate="b", step=0, history=["z"])
    next_step = status("CanaryStep", candidate="b", step=1, history=["z"])
    back = status("RolledBack", returned="b", history=["z"])
    assert reasons(step, step) == []
    assert reasons(step, next_step) == [(PROGRESSING, False, "CanaryStep")]
    assert reasons(next_step, back) == [(PROGRESSING, True, "RolledBack")]
    assert reasons(status("Draining"), status("PodStuck")) == [(PROGRESSING, True, "PodStuck")]
    assert rollout_events(next_step, back)[0][3] == "RolledBack with numbers"


def test_the_first_start_of_a_model_is_no_rollout() -> None:
    assert reasons({}, status("Starting")) == []
    assert reasons(status("Starting"), status("Complete")) == []


def test_a_newer_server_image_is_told_once() -> None:
    old, new = status("Complete"), status("Complete", upgrade="True")
    assert reasons(old, new) == [(UPGRADE_AVAILABLE, False, "X")]
    assert reasons(new, new) == []


def test_a_round_that_cannot_plan_leaves_calls_and_pods_as_they_are() -> None:
    stored = {
        "rollout": {"phase": "CanaryStep"},
        "revisions": [
            {"name": "a", "weight": 90, "mayRun": True},
            {"name": "b", "weight": 10, "mayRun": False},
        ],
    }
    parts = parts_before(stored, "a")
    assert parts.weights == {"a": 90, "b": 10}
    assert parts.may_run == {"a"}
    assert parts.stored == {"phase": "CanaryStep"}
    assert parts_before({}, "a").weights == {"a": 100}


def test_a_revision_that_may_not_run_is_not_ready_and_the_rollout_says_why() -> None:
    def held_back(reason: str, revision: str) -> tuple[str, str] | None:
        condition = Condition(type=PROGRESSING, status="True", reason=reason, message="why")
        parts = RolloutParts(stored={}, weights={"a": 100}, may_run=frozenset({"a"}), conditions=(condition,))
        found = of_held_back(parts, revision)
        return None if found is None else (found.status, found.message)

    assert held_back("Draining", "b") == ("Unknown", "why")
    assert held_back("RolledBack", "b") == ("False", "why")
    # Somebody has to act.
    assert held_back("PodStuck", "b") == ("False", "why")
    assert held_back("RolledBack", "a") is None
