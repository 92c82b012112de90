"""The condition Progressing: what a rollout does, in numbers and with the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from atheria_contract import names
from atheria_operator.api.model import RolloutPolicy
from atheria_operator.domain.pods import POD_STUCK
from atheria_operator.domain.rollout.state import Phase, RolloutObservation, RolloutState

PAUSED: Final = "Paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The condition without its type."""

    truth: Literal["True", "False", "Unknown"]
    reason: str
    message: str


def progress(
    state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, share: int, *, is_paused: bool
) -> Progress:
    """True while something is on its way, False when nothing is, Unknown while it is paused."""
    if is_paused:
        return Progress(truth="Unknown", reason=PAUSED, message=_paused(state, share))
    if state.phase is Phase.COMPLETE:
        words = f"revision {state.active} takes all calls"
        return Progress(truth="False", reason=state.phase.value, message=_because(words, state.cause))
    if state.phase is Phase.ROLLED_BACK:
        words = (
            f"revision {state.returned} was given up, {state.active} takes all calls; change the spec, or set the "
            f"annotation {names.ANNOTATION_ROLLOUT}=promote to try it again"
        )
        return Progress(truth="False", reason=state.phase.value, message=_because(words, state.cause))
    words = _moving(state, seen, policy, share)
    if stuck := _stuck(state, seen, policy):
        is_waiting = state.phase is Phase.DRAINING
        return Progress(
            truth="False" if is_waiting else "True", reason=POD_STUCK, message=f"{words}: {stuck}"
        )
    return Progress(truth="True", reason=state.phase.value, message=words)


def _stuck(state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy) -> str:
    """What a swap waits for, or goes on without, in vain; empty for nothing."""
    if state.phase is not Phase.SWAPPING and not (
        state.phase is Phase.DRAINING and policy.waits_for_stuck_pods
    ):
        return ""
    taker = state.candidate or state.active
    problems = (facts.stuck for name, facts in sorted(seen.revisions.items()) if name != taker)
    return next((problem.message for problem in problems if problem), "")


def _moving(state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, share: int) -> str:
    if state.phase is Phase.STARTING:
        return (
            f"revision {state.active} took the calls over while no pod ran; it starts when pods are asked for"
        )
    if state.phase is Phase.SWAPPING:
        words = (
            f"revision {state.active} starts on the devices of the old pods; calls are held until it is ready"
        )
        return _because(words, state.cause)
    if state.phase is Phase.DRAINING:
        words = f"calls are held while revision {state.active} ends its calls and leaves its devices to {state.candidate}"
        return _because(words, state.cause)
    candidate, active = seen.facts(state.candidate), seen.facts(state.active)
    if state.phase is Phase.STEP:
        return (
            f"step {state.step + 1} of {len(policy.steps)}: revision {state.candidate} takes {share} % of the calls, for at "
            f"least {policy.step_seconds:g} s and {policy.analysis.min_calls} calls"
        )
    words = (
        f"revision {state.candidate} has {candidate.ready_pods} of {candidate.asked_pods} pods ready; {state.active} takes "
        f"all calls with {active.ready_pods}"
    )
    problem = candidate.failure or candidate.unplaced
    return _because(words, problem.message if problem else state.cause)


def _paused(state: RolloutState, share: int) -> str:
    return (
        f"revision {state.candidate} stays at {share} % of the calls: remove spec.rollout.pause and the annotation "
        f"{names.ANNOTATION_ROLLOUT}, or set it to promote or rollback"
    )


def _because(words: str, cause: str) -> str:
    return f"{words}: {cause}" if cause else words
