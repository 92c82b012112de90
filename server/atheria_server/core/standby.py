"""Asleep or awake: `step(state, event) -> state`, the pure state machine of a server in standby.

`engine.standby` feeds it and carries out what follows. What it promises: work is sent to the workers only while `is_serving`; whoever
wants the model awake gets it awake without any further event from outside, at whatever moment the wish comes; and the workers are never
told to sleep and to wake at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What a server in standby does; the words of its answers about readiness."""

    AWAKE = "awake"
    FALLING = "falling asleep"
    """Not ready any more, and still computing: routers learn that it goes. One call, and it stays awake."""
    RESTING = "going to sleep"
    """The workers free their devices; calls wait."""
    ASLEEP = "asleep"
    WAKING = "waking"
    """The workers take their devices again; calls wait."""


class Event(StrEnum):
    """What happens to it."""

    SLEEP = "sleep"
    """The operator asks for it."""
    WANTED = "wanted"
    """A call came, or the gateway or the operator asks for it."""
    QUIET = "quiet"
    """The delay of falling asleep is over."""
    RESTED = "rested"
    """All workers have answered that they rest."""
    WOKEN = "woken"
    """All workers have answered that they can compute."""
    LOST = "lost"
    """A worker died; the one that takes its place starts awake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where it is."""

    phase: Phase = Phase.AWAKE
    is_wanted: bool = False
    """While RESTING: wake as soon as the workers have answered."""

    @property
    def is_ready(self) -> bool:
        """Whether routers may send calls."""
        return self.phase is Phase.AWAKE

    @property
    def is_serving(self) -> bool:
        """Whether workers may be given work."""
        return self.phase in (Phase.AWAKE, Phase.FALLING)


def step(state: State, event: Event, in_flight: int = 0) -> State:
    """The state after the event; `in_flight` calls are accepted and not answered. What does not fit changes nothing."""
    match state.phase, event:
        case Phase.AWAKE, Event.SLEEP if in_flight == 0:
            return State(phase=Phase.FALLING)
        case Phase.FALLING, Event.WANTED | Event.LOST:
            return State()
        case Phase.FALLING, Event.QUIET:
            return State() if in_flight else State(phase=Phase.RESTING)
        case Phase.RESTING, Event.WANTED | Event.LOST:
            return State(phase=Phase.RESTING, is_wanted=True)
        case Phase.RESTING, Event.RESTED:
            return State(phase=Phase.WAKING if state.is_wanted else Phase.ASLEEP)
        case Phase.ASLEEP, Event.WANTED | Event.LOST:
            return State(phase=Phase.WAKING)
        case Phase.WAKING, Event.WOKEN:
            return State()
    return state
