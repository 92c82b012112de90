"""Keeps how far all models are with the operator's settings, and wakes those whose turn comes. One for the whole operator.

Told by each model's reconcile loop, which asks it before the next round. Nothing is stored: after a restart every model tells
anew, and until all of them have nobody begins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.upgrade import Turn
from atheria_operator.domain.rollout.wave import Member, Stage, Wave, decide_wave

_LOG = logging.getLogger(__name__)


class UpgradeWave:
    """Who may follow now."""

    def __init__(
        self,
        *,
        at_once: int,
        models: Callable[[], Iterable[ModelKey]] = tuple,
        wake: Callable[[ModelKey], None] = lambda _: None,
    ) -> None:
        """`models` gives all of them, as the watch has them; `wake` is told whose turn has changed."""
        self._at_once = at_once
        self._models = models
        self._wake = wake
        self._heard: set[ModelKey] = set()
        self._members: dict[ModelKey, Member] = {}
        self._wave = Wave()

    def turn(self, key: ModelKey) -> Turn:
        """What a model is told before it plans."""
        stopped_by = self._wave.stopped_by
        return Turn(
            is_given=key in self._wave.turns,
            at_once=self._at_once,
            stopped_by="" if stopped_by is None else str(stopped_by),
        )

    def tell(self, key: ModelKey, member: Member) -> None:
        """How far a model is."""
        is_through = member.stage is Stage.DONE
        if is_through and key in self._heard and key not in self._members:
            return
        self._heard.add(key)
        # Of most models there is nothing to keep, and each that tells is weighed against all that are kept.
        if is_through:
            self._members.pop(key, None)
        else:
            self._members[key] = member
        self._decide()

    def cannot_tell(self, key: ModelKey) -> None:
        """The model cannot be planned, e.g. for a wrong spec: nobody waits to hear of it. A turn goes to another one; a place that it
        has it keeps, and one that was rolled back still stops the others."""
        known = self._members.get(key)
        is_in_line = known is not None and known.stage is Stage.WAITING
        if is_in_line:
            self._members[key] = Member(stage=Stage.BUSY)
        if is_in_line or key not in self._heard:
            self._heard.add(key)
            self._decide()

    def forget(self, key: ModelKey) -> None:
        """The model is gone, or no longer this process's: nobody waits to hear of it, also if it never told anything."""
        self._heard.discard(key)
        self._members.pop(key, None)
        self._decide()
        # One of the same name that has come meanwhile tells again.
        self._wake(key)

    def _decide(self) -> None:
        before = self._wave
        is_complete = bool(self._members) and self._heard.issuperset(self._models())
        self._wave = decide_wave(self._members, before, at_once=self._at_once, is_complete=is_complete)
        if self._wave.stopped_by != before.stopped_by:
            if self._wave.stopped_by is None:
                _LOG.info("upgrades go on")
            else:
                _LOG.warning("upgrades are stopped: model=%s was rolled back", self._wave.stopped_by)
            changed = {key for key, one in self._members.items() if one.stage in (Stage.WAITING, Stage.BUSY)}
        else:
            changed = set(self._wave.turns - before.turns)
        for key in self._wave.turns - before.turns:
            _LOG.info("model=%s follows the operator's settings now", key)
        for key in sorted(changed, key=str):
            self._wake(key)
