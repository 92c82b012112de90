"""How far one model is with the operator's default server image, from its rollout and its Deployments.

Called by `domain.desired.plan`. Nothing is stored for it: each Deployment says with which image it was made, so that an operator
that starts in the middle of an upgrade sees the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from atheria_operator.domain.rollout.state import Phase, RolloutObservation, RolloutState
from atheria_operator.domain.rollout.wave import Member, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a model that opted in is told."""

    is_given: bool = False
    """It may follow the default image now."""
    at_once: int = 1
    """Models that may do so at the same time."""
    stopped_by: str = ""
    """`namespace/name` of the model because of which nobody may; empty = none."""


ALWAYS = Turn(is_given=True)
"""For who has nobody to wait for."""


def has_begun(state: RolloutState, default_image: str, image_of: Callable[[str], str]) -> bool:
    """Whether a revision with the default image is or was on its way, so that going on needs no turn.

    `image_of` gives the default image that a revision was made with, by its name; empty = unknown.
    """
    return any(
        name and image_of(name) == default_image for name in (state.active, state.candidate, state.returned)
    )


def member_of(
    state: RolloutState,
    seen: RolloutObservation,
    default_image: str,
    image_of: Callable[[str], str],
    *,
    is_outdated: bool,
) -> Member:
    """The model in the wave, its rollout being in `state` now.

    `is_outdated` = following the default image would make another revision than `seen.desired`.
    """
    active = seen.facts(state.active)
    has_pods = bool(active.asked_pods or active.ready_pods)
    is_given_up = state.returned == seen.desired
    is_still = not state.candidate and (
        state.phase in (Phase.COMPLETE, Phase.ROLLED_BACK) or (state.phase is Phase.STARTING and not has_pods)
    )
    if is_outdated:
        stage = Stage.WAITING if is_still and not is_given_up else Stage.BUSY
    else:
        before = state.history[:1]
        if is_given_up or state.candidate:
            before = (state.active, state.candidate)
        is_upgrade = any(name and image_of(name) not in ("", default_image) for name in before)
        if not is_upgrade:
            # What it rolls out, if anything, was asked for by its own spec.
            stage = Stage.DONE
        elif is_given_up:
            stage = Stage.FAILED
        else:
            # One that took the image over at zero disturbs nobody until a call wakes it.
            stage = Stage.DONE if is_still else Stage.ROLLING
    return Member(stage=stage, has_pods=has_pods)
