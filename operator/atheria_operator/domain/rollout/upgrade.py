"""How far one model is with the operator's settings for all pods, from its rollout and its Deployments.

Called by `domain.desired.plan`. Nothing is stored for it: each Deployment says with what it was made, so that an operator
that starts in the middle of an upgrade sees the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.rollout.state import Phase, RevisionFacts, RolloutObservation, RolloutState
from atheria_operator.domain.rollout.wave import Member, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a model is told."""

    is_given: bool = False
    """It may follow the operator's settings now."""
    at_once: int = 1
    """Models that may do so at the same time."""
    stopped_by: str = ""
    """`namespace/name` of the model because of which nobody may; empty = none."""


ALWAYS = Turn(is_given=True)
"""For who has nobody to wait for."""


def has_begun(state: RolloutState, target: ServerDefaults, made: Mapping[str, ServerDefaults]) -> bool:
    """Whether a revision with the settings `target` is or was on its way, so that going on needs no turn.

    `made` has what each revision was made with, by its name, and `target` itself where that differs in nothing of the model's own.
    Who is on the way to other settings has a place already.
    """
    active, candidate = made.get(state.active), made.get(state.candidate)
    is_on_its_way = active is not None and candidate is not None and active != candidate
    return is_on_its_way or target in (active, candidate, made.get(state.returned))


def member_of(
    state: RolloutState,
    seen: RolloutObservation,
    target: ServerDefaults,
    made: Mapping[str, ServerDefaults],
    *,
    is_outdated: bool,
) -> Member:
    """The model in the wave, its rollout being in `state` now.

    `target` and `made` are as for `has_begun`; `is_outdated` = following would make another revision than `seen.desired`.
    """
    has_pods = _has_pods(seen.facts(state.active))
    is_given_up = state.returned == seen.desired
    # A canary at zero is judged by calls, and begins with the one that wakes it.
    is_asleep = state.phase is Phase.WAITING and not (has_pods or _has_pods(seen.facts(state.candidate)))
    is_still = not state.candidate and (
        state.phase in (Phase.COMPLETE, Phase.ROLLED_BACK) or (state.phase is Phase.STARTING and not has_pods)
    )
    if is_outdated:
        stage = Stage.WAITING if is_still and not is_given_up else Stage.BUSY
    else:
        before = state.history[:1]
        if is_given_up or state.candidate:
            before = (state.active, state.candidate)
        is_upgrade = any(made.get(name, target) != target for name in before)
        if not is_upgrade:
            # What it rolls out, if anything, was asked for by its own spec.
            stage = Stage.DONE
        elif is_given_up:
            stage = Stage.FAILED
        else:
            # One that took them over at zero disturbs nobody until a call wakes it.
            stage = Stage.DONE if is_still or is_asleep else Stage.ROLLING
    has_new_image = made.get(state.active, target).image != target.image
    return Member(stage=stage, goes_first=has_pods is has_new_image)


def _has_pods(facts: RevisionFacts) -> bool:
    return bool(facts.asked_pods or facts.ready_pods)
