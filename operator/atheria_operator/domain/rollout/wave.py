"""Which models may follow the operator's settings for all pods now: a few at a time, the next when one before is through.

The settings are the default server image, for models that opted in by the annotation atheria.dev/upgrade, and for all models TLS,
tracing, the format of logs and the pull policy. `decide_wave` looks at all models, each in the stage that
`domain.rollout.upgrade` finds; `runtime.upgrade_wave` keeps them. A model that was rolled back stops the others: what failed once
may fail everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from atheria_operator.api.model import ModelKey


class Stage(StrEnum):
    """How far a model is with the operator's settings."""

    WAITING = "Waiting"
    """It has others, and nothing of its own is on its way."""
    BUSY = "Busy"
    """It has others, and a rollout of its own comes first, or its spec or an object was refused; it neither holds a place nor gets one."""
    ROLLING = "Rolling"
    DONE = "Done"
    """It has them, or no pods that it could disturb."""
    FAILED = "Failed"
    """It was rolled back from them, and still asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A model."""

    stage: Stage
    goes_first: bool = False
    """Of a new image those with pods, since they show soonest whether it is good; of other settings those at zero, which cost nothing
    and are spared a second start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Who may go."""

    turns: frozenset[ModelKey] = frozenset()
    """Those that wait no longer; a model that has begun needs no turn any more."""
    stopped_by: ModelKey | None = None
    """The model because of which nobody may begin; the first one by name."""


def decide_wave(
    members: Mapping[ModelKey, Member], before: Wave, *, at_once: int, is_complete: bool = True
) -> Wave:
    """The next wave. `at_once` models may be on their way at the same time; without `is_complete` some model has not been
    heard of yet, and nobody begins who had no turn before.
    """
    failed = sorted((key for key, one in members.items() if one.stage is Stage.FAILED), key=_order)
    stopped_by = failed[0] if failed else None
    waiting = {key: one for key, one in members.items() if one.stage is Stage.WAITING}
    # Whoever was told to go may have begun: its turn is not taken back.
    turns = before.turns & waiting.keys()
    if stopped_by is None and is_complete:
        rolling = sum(one.stage is Stage.ROLLING for one in members.values())
        free = max(0, at_once - rolling - len(turns))
        line = sorted(waiting.keys() - turns, key=lambda key: (not waiting[key].goes_first, *_order(key)))
        turns |= set(line[:free])
    return Wave(turns=turns, stopped_by=stopped_by)


def _order(key: ModelKey) -> tuple[str, str]:
    return key.namespace, key.name
