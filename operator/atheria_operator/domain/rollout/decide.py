"""The next step of a rollout: `decide_rollout(state, observation, policy, now) -> (state, RolloutDecision)`.

Every decision looks at everything anew, so a lost one does no harm. Three rules hold throughout: some revision always has
weight, a revision that has never had a ready pod never costs the one before it its objects, and what was given up is not
tried again by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from atheria_operator.api.model import RolloutPolicy, Strategy
from atheria_operator.domain.pods import seconds_between
from atheria_operator.domain.rollout.analysis import judge
from atheria_operator.domain.rollout.quality import compare_quality
from atheria_operator.domain.rollout.state import (
    Command,
    Phase,
    RevisionFacts,
    RolloutDecision,
    RolloutObservation,
    RolloutState,
)
from atheria_operator.domain.rollout.words import progress

LOOK_SECONDS: Final = 2.0
"""Between two looks while a clock runs or calls are counted."""
NODE_ALLOWANCE_SECONDS: Final = 600.0
"""A revision that took over at zero may wait so long for a node: nothing ran before that its want of a node could cost."""
BY_ANNOTATION: Final = "asked for by the annotation"


def decide_rollout(
    state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, now: str
) -> tuple[RolloutState, RolloutDecision]:
    """The next state and what follows from it; `now` is RFC 3339 in UTC."""
    if state.since > now:
        # The clock was put back: what begins in the future would last until then.
        state = replace(state, since=now)
    state = _adopt(state, seen, now)
    state = _obey(state, seen, now)
    state = _aim(state, seen, now)
    state = _advance(state, seen, policy, now)
    return state, _decision(state, seen, policy)


def _adopt(state: RolloutState, seen: RolloutObservation, now: str) -> RolloutState:
    """The active revision of a new model, or in place of one whose Deployment is gone."""
    history = tuple(name for name in state.history if name in seen.revisions and name != state.active)
    if state.active and (state.active == seen.desired or state.active in seen.revisions):
        return replace(state, history=history)
    heir = seen.desired
    if state.returned == seen.desired and (others := (*history, state.candidate)) and others[0]:
        heir = others[0]
    return replace(
        state,
        active=heir,
        candidate="" if state.candidate == heir else state.candidate,
        phase=Phase.STARTING,
        since=now,
        is_proven=False,
        history=tuple(name for name in history if name != heir),
        returned="" if heir == state.returned else state.returned,
    )


def _obey(state: RolloutState, seen: RolloutObservation, now: str) -> RolloutState:
    """A command counts once: until the annotation says something else it has been answered."""
    command = seen.command
    if command not in (Command.PROMOTE, Command.ROLLBACK):
        return replace(state, answered="")
    if seen.command_text == state.answered:
        return state
    state = replace(state, answered=seen.command_text)
    if command is Command.PROMOTE:
        returned = "" if state.returned == seen.desired else state.returned
        return replace(state, returned=returned, promoted=seen.desired)
    if state.candidate and state.candidate == seen.desired:
        return _give_up_candidate(state, BY_ANNOTATION, now)
    if state.active != seen.desired or not state.history:
        return state
    if not state.is_proven:
        return _give_back(state, BY_ANNOTATION, now, is_final=True)
    back = state.history[0]
    return replace(
        state,
        candidate=back,
        promoted=back,
        returned=seen.desired,
        phase=Phase.WAITING,
        since=now,
        cause=BY_ANNOTATION,
    )


def _aim(state: RolloutState, seen: RolloutObservation, now: str) -> RolloutState:
    """The candidate is what the spec asks for, unless that was given up."""
    if state.returned and state.returned != seen.desired:
        state = replace(state, returned="", cause="")
    if state.promoted not in (seen.desired, state.candidate):
        state = replace(state, promoted="")
    target = seen.desired if state.returned != seen.desired else (state.candidate or state.active)
    if target == state.active:
        if not state.candidate:
            return state
        return replace(state, candidate="", phase=_settled(state, seen), step=0, since=now)
    if target == state.candidate:
        return state
    # A swap that has begun goes on with another candidate; the pods of the old one are on their way out.
    phase = Phase.DRAINING if state.phase is Phase.DRAINING else Phase.WAITING
    return replace(state, candidate=target, phase=phase, step=0, since=now, cause="")


def _advance(state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, now: str) -> RolloutState:
    if not state.candidate:
        return _advance_active(state, seen, policy, now)
    active, candidate = seen.facts(state.active), seen.facts(state.candidate)
    if active.ready_pods:
        state = replace(state, is_proven=True)
    if candidate.is_refused and candidate.failure is not None:
        return _give_up_candidate(state, candidate.failure.message, now)
    if state.phase is Phase.DRAINING:
        return _switch(state, seen, Phase.SWAPPING, now) if _is_vacated(state, seen, policy) else state
    is_promoted = state.promoted == state.candidate
    if _is_paused(seen, policy) and not is_promoted:
        return state
    strategy = policy.strategy
    if strategy is Strategy.CANARY and is_promoted:
        strategy = Strategy.SURGE
    is_idle = not active.asked_pods and not active.ready_pods
    if is_idle and strategy is not Strategy.CANARY:
        # A pod of the old revision would be started only to be replaced.
        return state if candidate.failure or candidate.unplaced else _switch(state, seen, Phase.STARTING, now)
    if strategy is Strategy.SWAP and candidate.exists:
        return replace(state, phase=Phase.DRAINING, since=now)
    if strategy is Strategy.AUTO and _needs_swap(candidate, policy):
        words = candidate.unplaced.message if candidate.unplaced else ""
        return replace(state, phase=Phase.DRAINING, since=now, cause=words)
    if strategy is Strategy.CANARY:
        return _advance_canary(state, seen, policy, now)
    is_enough = candidate.ready_pods >= min(active.ready_pods, candidate.asked_pods)
    # Pods that find no node wait for those of the old revision to go.
    if candidate.ready_pods and (is_promoted or is_enough or candidate.unplaced is not None):
        return _switch(state, seen, Phase.COMPLETE, now)
    return state


def _advance_active(
    state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, now: str
) -> RolloutState:
    """The active revision is alone: it proves itself, or gives the calls back to the one before it."""
    active = seen.facts(state.active)
    if active.ready_pods:
        if state.is_proven and state.phase in (Phase.COMPLETE, Phase.ROLLED_BACK):
            return state
        proven = replace(state, is_proven=True, phase=_settled(state, seen), since=now)
        return proven if proven.phase is Phase.ROLLED_BACK else replace(proven, cause="")
    is_swap = state.phase is Phase.SWAPPING
    # Nor could the revision before it start while a pod that never goes keeps the device.
    is_hasty = is_swap and not any(facts.stuck_pods for facts in seen.revisions.values())
    patience_seconds = policy.unschedulable_seconds if is_hasty else NODE_ALLOWANCE_SECONDS
    failure = active.failure
    if failure is None and active.unplaced_seconds >= patience_seconds:
        failure = active.unplaced
    if state.is_proven or not state.history or failure is None:
        return state
    # A swap is not tried twice: each try takes the calls' pods away.
    is_final = is_swap or policy.strategy is Strategy.SWAP or failure.is_permanent
    return _give_back(state, failure.message, now, is_final=is_final)


def _advance_canary(
    state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, now: str
) -> RolloutState:
    active, candidate = seen.facts(state.active), seen.facts(state.candidate)
    quality = compare_quality(candidate.quality, active.quality, policy.analysis.max_quality_loss)
    if quality.is_worse:
        words = f"{quality.words}; to accept that set spec.rollout.analysis.maxQualityLoss, or promote it"
        return _give_up_candidate(state, words, now)
    if state.phase is not Phase.STEP:
        if not candidate.ready_pods:
            return state
        return _enter_step(state, seen, policy, 0, now)
    if candidate.failure is not None and not candidate.ready_pods:
        return _give_up_candidate(state, candidate.failure.message, now)
    verdict = judge(candidate.calls, active.calls, policy.analysis)
    if verdict.is_worse:
        return _give_up_candidate(state, f"at {_share(state, policy)} % of the calls: {verdict.words}", now)
    elapsed_seconds = seconds_between(state.since, now) or 0.0
    if verdict.is_enough and candidate.ready_pods and elapsed_seconds >= policy.step_seconds:
        words = "; ".join(part for part in (verdict.words, quality.words) if part)
        return replace(_enter_step(state, seen, policy, state.step + 1, now), cause=words)
    return state


def _enter_step(
    state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy, step: int, now: str
) -> RolloutState:
    if step >= len(policy.steps) or policy.steps[step] >= 100:
        return _switch(state, seen, Phase.COMPLETE, now)
    return replace(state, phase=Phase.STEP, step=step, since=now)


def _switch(state: RolloutState, seen: RolloutObservation, phase: Phase, now: str) -> RolloutState:
    """The candidate becomes the active revision; `phase` COMPLETE means that it is ready."""
    is_ready = phase is Phase.COMPLETE or bool(seen.facts(state.candidate).ready_pods)
    # While nothing has been ready yet, the first of several is better than nothing to go back to.
    is_worth_keeping = state.is_proven or not (is_ready or state.history)
    before = (state.active,) if is_worth_keeping else ()
    switched = replace(
        state,
        active=state.candidate,
        candidate="",
        step=0,
        since=now,
        is_proven=is_ready,
        history=tuple(name for name in (*before, *state.history) if name != state.candidate),
        promoted="",
    )
    keeps_cause = state.phase is Phase.STEP or phase is Phase.SWAPPING or state.returned == seen.desired
    return replace(
        switched,
        phase=_settled(switched, seen) if is_ready else phase,
        cause=state.cause if keeps_cause else "",
    )


def _give_up_candidate(state: RolloutState, cause: str, now: str) -> RolloutState:
    """The active revision keeps or gets all calls; the candidate's pods go."""
    return replace(
        state,
        candidate="",
        promoted="",
        returned=state.candidate,
        phase=Phase.ROLLED_BACK,
        step=0,
        since=now,
        cause=cause,
    )


def _give_back(state: RolloutState, cause: str, now: str, *, is_final: bool) -> RolloutState:
    """The active revision was never ready: the one before it gets the calls again; a passing fault is waited out."""
    failed = state.active
    return replace(
        state,
        active=state.history[0],
        history=state.history[1:],
        candidate="" if is_final else failed,
        returned=failed if is_final else state.returned,
        phase=Phase.ROLLED_BACK if is_final else Phase.WAITING,
        is_proven=True,
        step=0,
        since=now,
        cause=cause,
    )


def _settled(state: RolloutState, seen: RolloutObservation) -> Phase:
    if state.returned == seen.desired:
        return Phase.ROLLED_BACK
    is_ready = state.is_proven or seen.facts(state.active).ready_pods
    return Phase.COMPLETE if is_ready else Phase.STARTING


def _is_vacated(state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy) -> bool:
    """Nothing but the candidate has or asks for pods: a pod that is ending keeps its device.

    Going on without one that never goes is safe: for the scheduler its device is taken as long as its record is there.
    """
    return not any(
        facts.asked_pods or facts.present_pods > (0 if policy.waits_for_stuck_pods else facts.stuck_pods)
        for name, facts in seen.revisions.items()
        if name != state.candidate
    )


def _is_paused(seen: RolloutObservation, policy: RolloutPolicy) -> bool:
    return policy.is_paused or seen.command is Command.PAUSED


def _needs_swap(candidate: RevisionFacts, policy: RolloutPolicy) -> bool:
    return (
        candidate.unplaced is not None
        and not candidate.ready_pods
        and candidate.unplaced_seconds >= policy.unschedulable_seconds
    )


def _share(state: RolloutState, policy: RolloutPolicy) -> int:
    """Percent of the calls that the step gives to the candidate; steps may have become fewer meanwhile."""
    if state.phase is not Phase.STEP or not policy.steps:
        return 0
    return min(99, policy.steps[min(state.step, len(policy.steps) - 1)])


def _decision(state: RolloutState, seen: RolloutObservation, policy: RolloutPolicy) -> RolloutDecision:
    share = _share(state, policy) if seen.facts(state.candidate).ready_pods else 0
    weights = {state.active: 100 - share}
    if state.candidate:
        weights[state.candidate] = share
    may_run = {state.active, state.candidate} - {""}
    if state.phase is Phase.DRAINING:
        may_run = set()
    elif state.phase is Phase.SWAPPING or state.phase is Phase.STARTING:
        may_run = {state.active}
    elif policy.strategy is Strategy.SWAP:
        # Before the swap begins, and while it is paused: there is no room beside the active one.
        may_run = {state.active}
    limit = policy.history_limit if state.is_proven else max(1, policy.history_limit)
    keep = {state.active, state.candidate, seen.desired, *state.history[:limit]} - {""}
    is_paused = bool(state.candidate) and _is_paused(seen, policy)
    is_paused = is_paused and state.phase is not Phase.DRAINING and state.promoted != state.candidate
    words = progress(state, seen, policy, share, is_paused=is_paused)
    is_waiting = bool(state.candidate) or (not state.is_proven and bool(state.history))
    return RolloutDecision(
        weights=weights,
        may_run=frozenset(may_run),
        keep=frozenset(keep),
        progressing=words.truth,
        reason=words.reason,
        message=words.message,
        look_seconds=LOOK_SECONDS if is_waiting else None,
    )
