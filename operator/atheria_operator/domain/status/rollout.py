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
ROLLING_OUT: Final = "RollingOut"
UPGRADE_FAILED: Final = "UpgradeFailed"
_FOLLOW: Final = f"the annotation {names.ANNOTATION_UPGRADE}={names.UPGRADE_NOW}"
_WAYS_OUT: Final = (
    f"see why, then promote the model ({names.ANNOTATION_ROLLOUT}=promote), correct its spec, set the chart's value back, or remove "
    f"{_FOLLOW} from it"
)


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
        is_bad = upgrade["reason"] in (UPGRADES_STOPPED, UPGRADE_FAILED)
        if known.get("status") != "True" or (is_bad and known.get("reason") != upgrade["reason"]):
            found.append((UPGRADE_AVAILABLE, is_bad, upgrade["reason"], upgrade["message"]))
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
    image = plan.active_image
    now = f"pods run the server image {image}" if image else "no default server image is used"
    coming = _coming(plan)
    if plan.upgrade.stage is Stage.FAILED:
        words = f"{now}; {coming or 'another revision'} was rolled back, and no further model is upgraded: {_WAYS_OUT}"
        return Condition(type=UPGRADE_AVAILABLE, status="True", reason=UPGRADE_FAILED, message=words)
    if not (plan.newer_image or plan.is_held_back):
        # A canary at zero is on its way, too, and keeps no place.
        if plan.upgrade.stage is Stage.ROLLING or coming:
            words = f"{now}; {coming or 'another revision'} is on its way"
            return Condition(type=UPGRADE_AVAILABLE, status="False", reason=ROLLING_OUT, message=words)
        return Condition(type=UPGRADE_AVAILABLE, status="False", reason="UpToDate", message=now)
    kept = []
    if plan.newer_image:
        kept.append(f"the server image {plan.image}, the operator's default is {plan.newer_image}")
    if plan.newer_values:
        kept.append(f"their settings, the chart's values have changed: {', '.join(plan.newer_values)}")
    reason, next_step = _next_of(plan)
    message = f"pods keep {'; and '.join(kept)}; {next_step}"
    return Condition(type=UPGRADE_AVAILABLE, status="True", reason=reason, message=message)


def _coming(plan: Plan) -> str:
    """In what the revision that is asked for differs from the one that takes the calls; empty = in nothing of the operator's."""
    found = [f"the server image {plan.image}"] if plan.active_image != plan.image else []
    if plan.active_values:
        found.append(f"a change of the chart's values ({', '.join(plan.active_values)})")
    return " with ".join(found)


def _next_of(plan: Plan) -> tuple[str, str]:
    """Reason and next step of a model with an older image or older settings."""
    if not plan.is_held_back:
        return NEW_SERVER_IMAGE, f"to roll it out set {_FOLLOW}"
    if plan.turn.stopped_by:
        return UPGRADES_STOPPED, (
            f"no further model is upgraded, because {plan.turn.stopped_by} was rolled back from it: {_WAYS_OUT}"
        )
    if plan.upgrade.stage is Stage.BUSY:
        return WAITS_FOR_ITS_TURN, "it is rolled out after the change that is on its way, or was given up"
    return WAITS_FOR_ITS_TURN, f"it is rolled out when its turn comes: {plan.turn.at_once} at a time"
