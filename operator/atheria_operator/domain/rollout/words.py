"""The condition Progressing: what a rollout does, in numbers and with the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from atheria_contract import names
from atheria_operator.api.model import RolloutPolicy
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
    return Progress(truth="True", reason=state.phase.value, message=_moving(state, seen, policy, share))


def _moving(state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, share: int) -> str:
    if state.phase is Phase.STARTING:
        return (
            f"revision {state.active} took the calls over while no pod ran; it starts when pods are asked for"
        )
    if state.phase is Phase.SWAPPING:
        words = f"the old pods are gone, revision {state.active} starts on their devices; calls are held until it is ready"
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
