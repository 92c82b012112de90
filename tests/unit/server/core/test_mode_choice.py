"""`auto` takes what was measured to be faster per row, and says by how much."""

from __future__ import annotations

from atheria_server.core.mode_choice import choose


def test_the_mode_with_the_least_time_per_row_is_taken_with_its_numbers() -> None:
    choice = choose({"off": {1: 0.004, 8: 0.024}, "default": {1: 0.002, 8: 0.008}})
    assert (choice.mode, choice.row_limit) == ("default", 8)
    assert choice.why == (
        "measured eager 3 ms a row at 8 rows, default 1 ms a row at 8 rows: default, batches of up to 8"
    )


def test_a_mode_that_gains_next_to_nothing_is_not_worth_compiling() -> None:
    assert choose({"off": {1: 1.0}, "default": {1: 0.97}}).mode == "off"


def test_larger_batches_that_gain_next_to_nothing_per_row_are_not_worth_waiting_for() -> None:
    choice = choose({"off": {1: 1.0, 2: 1.6, 4: 2.9, 8: 5.7}})
    assert choice.row_limit == 4


def test_what_could_not_be_tried_is_said_too() -> None:
    choice = choose({"off": {1: 1.0}}, ["this image lacks g++"])
    assert choice.mode == "off"
    assert choice.why.endswith("; this image lacks g++")
