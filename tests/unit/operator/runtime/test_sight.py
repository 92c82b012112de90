"""Kopf that tells of no model although there are some is found out at the second look, and not before."""

from __future__ import annotations

import pytest

from atheria_operator.runtime.sight import Blind, Sight


def test_two_looks_without_a_word_of_any_model() -> None:
    sight = Sight()
    sight.check({"a", "b"})
    with pytest.raises(Blind, match="none of the 2 models"):
        sight.check({"a", "b"})


def test_one_model_told_of_is_enough_and_no_model_is_no_blindness() -> None:
    sight = Sight()
    sight.check({"a", "b"})
    sight.told("b", is_deleted=False)
    sight.check({"a", "b"})
    for _ in range(3):
        sight.check(())
    sight.check({"a"})
    sight.check({"a", "b"})


def test_a_model_that_came_again_is_another_one_and_a_start_begins_anew() -> None:
    sight = Sight()
    sight.told("old", is_deleted=False)
    sight.told("old", is_deleted=True)
    sight.check({"new"})
    sight.start()
    sight.check({"new"})
    with pytest.raises(Blind):
        sight.check({"new"})
