"""A person who waited for a model to wake is told so: the call itself was short."""

from __future__ import annotations

from atheria_cli.calls.commands import waited_words


def test_the_wait_for_a_model_at_zero_is_told_beside_the_seconds_of_the_call() -> None:
    assert waited_words(3.46) == ", after 3.5 s until the model was awake (measured)"


def test_a_model_that_was_there_has_nothing_to_tell() -> None:
    assert waited_words(0.4) == ""
