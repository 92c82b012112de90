"""The wave of upgrades hears of every model before anybody begins, and wakes whose turn it is."""

from __future__ import annotations

import pytest

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.wave import Member, Stage
from atheria_operator.runtime.upgrade_wave import UpgradeWave

A, B, C = (ModelKey(namespace="demo", name=name) for name in "abc")
WAITING, ROLLING, DONE, FAILED, BUSY = (
    Member(stage=stage) for stage in (Stage.WAITING, Stage.ROLLING, Stage.DONE, Stage.FAILED, Stage.BUSY)
)


class Known:
    """The models with the annotation, and who was woken."""

    def __init__(self, *keys: ModelKey) -> None:
        self.keys = list(keys)
        self.woken: list[ModelKey] = []
        self.wave = UpgradeWave(at_once=1, models=lambda: self.keys, wake=self.woken.append)

    def given(self) -> list[ModelKey]:
        return [key for key in (A, B, C) if self.wave.turn(key).is_given]


def test_nobody_begins_before_the_last_model_has_told() -> None:
    known = Known(A, B, C)
    known.wave.tell(B, WAITING)
    known.wave.tell(C, WAITING)
    assert known.given() == []
    # After a restart in the middle: the one that is on its way tells last.
    known.wave.tell(A, ROLLING)
    assert known.given() == []
    known.wave.tell(A, DONE)
    assert known.given() == [B]
    assert known.woken == [B]


def test_a_model_that_cannot_be_planned_or_is_gone_keeps_nobody_waiting() -> None:
    known = Known(A, B, C)
    known.wave.tell(A, WAITING)
    known.wave.cannot_tell(B)
    assert known.given() == []
    known.keys.remove(C)
    known.wave.tell(A, WAITING)
    assert known.given() == [A]


def test_a_model_that_is_deleted_before_it_told_anything_keeps_nobody_waiting() -> None:
    known = Known(A, B)
    known.wave.tell(A, WAITING)
    assert known.given() == []
    known.keys.remove(B)
    known.wave.forget(B)
    assert known.given() == [A]
    assert A in known.woken


def test_a_model_made_anew_under_the_name_of_one_that_is_forgotten_tells_again() -> None:
    known = Known(A, B)
    known.wave.tell(B, WAITING)
    known.wave.tell(A, WAITING)
    known.woken.clear()
    known.wave.forget(A)
    assert known.woken == [A]


def test_a_spec_that_becomes_wrong_on_the_way_frees_no_place() -> None:
    known = Known(A, B)
    known.wave.tell(A, ROLLING)
    known.wave.tell(B, WAITING)
    known.wave.cannot_tell(A)
    known.wave.tell(B, WAITING)
    assert known.given() == []


def test_a_spec_that_becomes_wrong_before_its_model_has_begun_holds_nobody_up() -> None:
    known = Known(A, B, C)
    for key in (A, B, C):
        known.wave.tell(key, WAITING)
    assert known.given() == [A]
    # One that stands in line, and then the one whose turn it is.
    known.wave.cannot_tell(B)
    assert known.given() == [A]
    known.wave.cannot_tell(A)
    assert known.given() == [C]
    assert known.woken == [A, C]
    # Corrected, it stands in line again.
    known.wave.tell(B, WAITING)
    known.wave.tell(C, DONE)
    assert known.given() == [B]


def test_a_spec_that_becomes_wrong_after_a_rollback_lets_nobody_follow() -> None:
    known = Known(A, B)
    known.wave.tell(A, FAILED)
    known.wave.tell(B, WAITING)
    known.wave.cannot_tell(A)
    assert known.wave.turn(B).stopped_by == "demo/a"
    assert known.given() == []


def test_a_model_that_is_deleted_on_its_way_leaves_its_place() -> None:
    known = Known(A, B)
    known.wave.tell(A, ROLLING)
    known.wave.tell(B, WAITING)
    assert known.given() == []
    known.wave.forget(A)
    known.keys.remove(A)
    known.wave.tell(B, WAITING)
    assert known.given() == [B]


def test_who_waits_is_told_why_upgrades_are_stopped_and_when_they_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    known = Known(A, B, C)
    known.wave.tell(A, ROLLING)
    known.wave.tell(B, WAITING)
    known.wave.tell(C, BUSY)
    known.wave.tell(A, FAILED)
    assert known.wave.turn(B).stopped_by == "demo/a"
    assert known.woken == [B, C]
    known.wave.tell(A, FAILED)
    assert known.woken == [B, C], "woken although nothing changed"
    # The annotation is taken away from it.
    known.wave.tell(A, DONE)
    assert known.wave.turn(B).stopped_by == ""
    assert known.given() == [B]
    assert "upgrades are stopped: model=demo/a" in caplog.text
    assert "upgrades go on" in caplog.text
