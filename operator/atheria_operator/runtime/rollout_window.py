"""What one model's rollout is told from outside: annotations, and the calls that were counted since its step began."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Body
from atheria_operator.domain.pods import Told
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.facts import Outside
from atheria_operator.domain.rollout.stored import read_counted
from atheria_operator.domain.status.report import Parts
from atheria_operator.runtime.ports import DemandSource


class RolloutWindow:
    """Remembers the totals at the beginning of a step. After a restart it goes on from what the status says was counted."""

    def __init__(self, key: ModelKey, demand: DemandSource) -> None:
        """`demand` is where gateways' counts are summed."""
        self._key = key
        self._demand = demand
        self._step: tuple[Any, ...] = ()
        self._marks: Mapping[str, CallFigures] = {}
        self._counted_before: Mapping[str, CallFigures] = {}

    def outside(
        self,
        body: Body,
        status: Mapping[str, Any],
        told: Mapping[str, Told],
        reports: Mapping[str, Parts],
        now: str,
    ) -> Outside:
        """For one round; `status` is the newest stored one, `told` and `reports` are by `pods.start_key`, `now` RFC 3339."""
        stored = status.get("rollout") or {}
        step = tuple(stored.get(name) for name in ("phase", "candidate", "step", "since"))
        totals = self._demand.revision_calls(self._key)
        if step != self._step:
            # Of a step that began in this process nothing is stored yet.
            self._step, self._marks, self._counted_before = step, totals, read_counted(status)
        annotations = body["metadata"].get("annotations") or {}
        return Outside(
            now=now,
            command_text=str(annotations.get(names.ANNOTATION_ROLLOUT) or "")[
                : names.LONGEST_ROLLOUT_COMMAND
            ],
            follows_default_image=annotations.get(names.ANNOTATION_UPGRADE) == names.UPGRADE_NOW,
            calls={
                name: self._counted_before.get(name, CallFigures()).plus(
                    totals.get(name, CallFigures()).since(self._marks.get(name, CallFigures()))
                )
                for name in totals.keys() | self._counted_before.keys()
            },
            told=told,
            reports=reports,
        )
