"""What the status says of a rollout: weights, who may have pods, Progressing, UpgradeAvailable, and the Events of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.domain.desired.plan import Plan
from atheria_operator.domain.pods import POD_STUCK
from atheria_operator.domain.rollout.state import Phase
from atheria_operator.domain.rollout.stored import write_counted, write_state
from atheria_operator.domain.rollout.wave import Stage
from atheria_operator.domain.status.conditions import READY, Condition, Truth

PROGRESSING: Final = "Progressing"
UPGRADE_AVAILABLE: Final = "UpgradeAvailable"
NEW_SERVER_IMAGE: Final = "NewServerImage"
WAITS_FOR_ITS_TURN: Final = "WaitsForItsTurn"
UPGRADES_STOPPED: Final = "UpgradesStopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutParts:
    """The parts of the status that a plan decides."""

    stored: Mapping[str, Any]
    """status.rollout."""
    weights: Mapping[str, int]
    """By revision; those that are not in it have none."""
    may_run: frozenset[str]
    conditions: tuple[Condition, ...]


def rollout_parts(plan: Plan) -> RolloutParts:
    """What is to be stored of a plan's rollout."""
    decision = plan.decision
    return RolloutParts(
        stored={**write_state(plan.rollout), **write_counted(plan.counted, plan.now)},
        weights=decision.weights,
        may_run=decision.may_run,
        conditions=(
            Condition(
                type=PROGRESSING,
                status=decision.progressing,
                reason=decision.reason,
                message=decision.message,
            ),
            _upgrade(plan),
        ),
    )


def parts_before(status: Mapping[str, Any], active: str) -> RolloutParts:
    """What is stored, for a round that cannot plan: calls stay where they are, at `active` where nothing is stored."""
    revisions: Sequence[Mapping[str, Any]] = status.get("revisions") or ({"name": active, "weight": 100},)
    kept = [
        Condition(type=one["type"], status=one["status"], reason=one["reason"], message=one["message"])
        for one in status.get("conditions") or ()
        if one.get("type") in (PROGRESSING, UPGRADE_AVAILABLE)
    ]
    return RolloutParts(
        stored=status.get("rollout") or {},
        weights={one["name"]: one["weight"] for one in revisions},
        may_run=frozenset(one["name"] for one in revisions if one.get("mayRun", True)),
        conditions=tuple(kept),
    )


def of_held_back(parts: RolloutParts | None, revision: str) -> Condition | None:
    """What Ready says of a revision that has no pods because the rollout does not let it have any; None for others."""
    if parts is None or revision in parts.may_run:
        return None
    for one in parts.conditions:
        if one.type == PROGRESSING:
            truth: Truth = "False" if one.reason in (Phase.ROLLED_BACK, POD_STUCK) else "Unknown"
            return Condition(type=READY, status=truth, reason=one.reason, message=one.message)
    return None


def rollout_events(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, bool, str, str]]:
    """(condition, is it a warning, reason, message) of each transition of a rollout; none for a new model's first start."""
    old = {one["type"]: one for one in before.get("conditions") or ()}
    new = {one["type"]: one for one in after.get("conditions") or ()}
    found: list[tuple[str, bool, str, str]] = []
    progressing, known = new.get(PROGRESSING), old.get(PROGRESSING)
    if progressing and known and _moves(before, known) != _moves(after, progressing):
        is_first = not (after.get("rollout") or {}).get("history") and progressing["reason"] == Phase.COMPLETE
        if not is_first:
            is_warning = progressing["reason"] in (Phase.ROLLED_BACK, POD_STUCK)
            found.append((PROGRESSING, is_warning, progressing["reason"], progressing["message"]))
    upgrade = new.get(UPGRADE_AVAILABLE)
    known = old.get(UPGRADE_AVAILABLE, {})
    if upgrade and upgrade["status"] == "True":
        is_stopped = upgrade["reason"] == UPGRADES_STOPPED
        if known.get("status") != "True" or (is_stopped and known.get("reason") != UPGRADES_STOPPED):
            found.append((UPGRADE_AVAILABLE, is_stopped, upgrade["reason"], upgrade["message"]))
    return found


def _moves(status: Mapping[str, Any], progressing: Mapping[str, Any]) -> tuple[Any, ...]:
    rollout = status.get("rollout") or {}
    return (
        status.get("activeRevision"),
        progressing["reason"],
        rollout.get("candidate"),
        rollout.get("step"),
        rollout.get("returned"),
    )


def _upgrade(plan: Plan) -> Condition:
    if not plan.newer_image:
        words = f"pods run the server image {plan.image}" if plan.image else "no default server image is used"
        return Condition(type=UPGRADE_AVAILABLE, status="False", reason="UpToDate", message=words)
    reason, next_step = _next_of(plan)
    return Condition(
        type=UPGRADE_AVAILABLE,
        status="True",
        reason=reason,
        message=f"pods keep the server image {plan.image}, the operator's default is {plan.newer_image}; {next_step}",
    )


def _next_of(plan: Plan) -> tuple[str, str]:
    """Reason and next step of a model with an older image."""
    follow = f"the annotation {names.ANNOTATION_UPGRADE}={names.UPGRADE_NOW}"
    if plan.upgrade is None:
        return NEW_SERVER_IMAGE, f"to roll it out set {follow}"
    if plan.turn.stopped_by:
        return UPGRADES_STOPPED, (
            f"no further model is upgraded, because {plan.turn.stopped_by} was rolled back from it: see why, then promote that "
            f"one ({names.ANNOTATION_ROLLOUT}=promote), correct its spec, or remove {follow} from it"
        )
    if plan.upgrade.stage is Stage.BUSY:
        return WAITS_FOR_ITS_TURN, "it is rolled out after the change that is on its way, or was given up"
    return WAITS_FOR_ITS_TURN, f"it is rolled out when its turn comes: {plan.turn.at_once} at a time"
