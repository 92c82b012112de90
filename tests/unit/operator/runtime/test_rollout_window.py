"""The calls of a canary's step, and the annotations of a person."""

from __future__ import annotations

import json
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.stored import write_counted
from atheria_operator.runtime.rollout_window import RolloutWindow

KEY = ModelKey(namespace="demo", name="qca")
NOW = "2026-01-01T00:00:00Z"


class Sums:
    """DemandSource with totals that a test sets."""

    def __init__(self) -> None:
        self.calls = 0

    def revision_calls(self, _: ModelKey) -> dict[str, CallFigures]:
        return {"b": CallFigures(calls=self.calls, latency={0.1: self.calls})}


def status(step: int) -> dict[str, Any]:
    return {"rollout": {"phase": "CanaryStep", "candidate": "b", "step": step, "since": NOW}}


def body(**annotations: str) -> dict[str, Any]:
    return {
        "metadata": {"annotations": {f"{names.GROUP}/{key}": value for key, value in annotations.items()}}
    }


def test_each_step_counts_its_own_calls() -> None:
    sums: Any = Sums()
    window = RolloutWindow(KEY, sums)

    def calls(step: int, total: int) -> int:
        sums.calls = total
        return window.outside(body(), status(step), {}, {}, NOW).calls["b"].calls

    assert [calls(0, 5), calls(0, 25), calls(1, 30), calls(1, 50)] == [0, 20, 0, 20]


def test_after_a_restart_a_step_goes_on_from_what_was_stored_of_it() -> None:
    told = CallFigures(calls=12, errors=3, latency={0.1: 8, 0.25: 4})
    stored = status(1)
    stored["rollout"] |= write_counted({"b": told}, NOW)
    stored = json.loads(json.dumps(stored))
    sums: Any = Sums()
    window = RolloutWindow(KEY, sums)

    def counted(step: dict[str, Any]) -> CallFigures:
        return window.outside(body(), step, {}, {}, NOW).calls["b"]

    # No gateway has spoken yet, or nobody calls: what was counted stays.
    assert counted(stored) == told
    sums.calls = 5
    assert counted(stored) == told.plus(CallFigures(calls=5, latency={0.1: 5}))
    # What this process has stored meanwhile is not counted twice.
    again = status(1)
    again["rollout"] |= write_counted({"b": counted(stored)}, NOW)
    assert counted(again).calls == 17
    assert counted(status(2)).calls == 0


def test_annotations_are_told() -> None:
    sums: Any = Sums()
    window = RolloutWindow(KEY, sums)
    told = window.outside(body(rollout="promote", upgrade="now"), {}, {}, {}, NOW)
    assert (told.command_text, told.follows_default_image) == ("promote", True)
    told = window.outside(body(rollout="back", upgrade="later"), {}, {}, {}, NOW)
    assert (told.command_text, told.follows_default_image) == ("back", False)
    told = window.outside({"metadata": {}}, {}, {}, {}, NOW)
    assert (told.command_text, told.follows_default_image) == ("", False)
