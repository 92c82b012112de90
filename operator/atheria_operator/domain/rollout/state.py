"""What a rollout decision takes and gives: the stored state, what is seen of each revision, the decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from atheria_operator.api.model import Problem
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.quality import QualityFigures


class Phase(StrEnum):
    """Where a rollout is; the reason of the condition Progressing."""

    COMPLETE = "Complete"
    """The active revision takes all calls."""
    STARTING = "Starting"
    """The active revision took the calls over at zero and has had no ready pod yet."""
    WAITING = "WaitingForReady"
    """The candidate has too few ready pods to take calls."""
    STEP = "CanaryStep"
    """The candidate takes the share of a step."""
    DRAINING = "Draining"
    """Swap: the active revision finishes its calls and goes; new calls are held."""
    SWAPPING = "Swapping"
    """Swap: the old pods are gone, the new revision starts; calls are held."""
    ROLLED_BACK = "RolledBack"
    """The revision that the spec asks for was given up; another one takes all calls."""


class Command(StrEnum):
    """Value of the annotation atheria.dev/rollout, or its part before a colon."""

    NONE = ""
    PAUSED = "paused"
    PROMOTE = "promote"
    ROLLBACK = "rollback"

    @classmethod
    def read(cls, text: str) -> Command:
        """The command; NONE for words that mean nothing. What follows a colon makes the same command a new one."""
        word = text.partition(":")[0]
        return cls(word) if word in set(cls) else cls.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutState:
    """What status.rollout and status.activeRevision store between two decisions."""

    active: str = ""
    """Name of the revision that takes the calls; empty for a new model."""
    candidate: str = ""
    """Name of the revision that is to replace it; empty for none."""
    phase: Phase = Phase.COMPLETE
    step: int = 0
    """Index of the canary's step."""
    since: str = ""
    """When phase and step began, RFC 3339."""
    is_proven: bool = True
    """The active revision has had a ready pod since it became active."""
    history: tuple[str, ...] = ()
    """Revisions that were active and ready before, newest first."""
    returned: str = ""
    """Revision that was given up; it is not tried again until the spec changes or it is promoted."""
    cause: str = ""
    """Why the phase is what it is, in the words of who refused or measured."""
    promoted: str = ""
    """Revision that skips the steps, because the annotation says so."""
    answered: str = ""
    """The text of the command that has been obeyed; it is not obeyed twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionFacts:
    """What is seen of one revision."""

    exists: bool = False
    """It has a Deployment."""
    asked_pods: int = 0
    ready_pods: int = 0
    """Loaded, warmed up and accepted in quality: a pod that fails a gate is never ready."""
    present_pods: int = 0
    """Pods that are there, those on their way out included: they keep their devices."""
    stuck_pods: int = 0
    """Those of them that should have gone long ago."""
    stuck: Problem | None = None
    """Which is one of them, since when, and what to do."""
    failure: Problem | None = None
    """What stops one of its pods that has a node."""
    unplaced: Problem | None = None
    """Why one of its pods finds no node, in the scheduler's words; None when all have one or one is coming."""
    unplaced_seconds: float = 0.0
    """For how long."""
    calls: CallFigures = field(default_factory=CallFigures)
    """Since the step began."""
    quality: QualityFigures | None = None
    """What its newest ready pod measured; None = none has told."""

    @property
    def is_refused(self) -> bool:
        """Starting again does not mend it."""
        return self.failure is not None and self.failure.is_permanent


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutObservation:
    """What the decision sees."""

    desired: str
    """Name of the revision that the spec asks for."""
    revisions: Mapping[str, RevisionFacts]
    """By name, those that have a Deployment."""
    command_text: str = ""
    """Value of the annotation atheria.dev/rollout."""

    @property
    def command(self) -> Command:
        """What the annotation asks for."""
        return Command.read(self.command_text)

    def facts(self, name: str) -> RevisionFacts:
        """Of a revision; those of one that has nothing yet where there is none."""
        return self.revisions.get(name) or RevisionFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDecision:
    """Who takes calls, who may have pods, and the words for it."""

    weights: Mapping[str, int]
    """Share of the calls in percent by revision; the sum is 100."""
    may_run: frozenset[str]
    """Revisions that may have pods; all others go to zero."""
    keep: frozenset[str]
    """Revisions whose objects stay."""
    progressing: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    look_seconds: float | None
    """When to look again; None when only an event can change something."""
