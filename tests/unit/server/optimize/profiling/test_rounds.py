"""Interleaved timing, on a clock that the tests turn."""

from __future__ import annotations

import pytest

from atheria_server.optimize.profiling.rounds import CALLS_MAX, interleaved


class Clock:
    """Moves only when work says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def work(self, name: str, seconds: float):
        def run() -> None:
            self.now += seconds
            self.calls.append(name)

        return run

    def __call__(self) -> float:
        return self.now


def test_every_round_has_every_function_and_the_times_are_those_of_one_call():
    clock = Clock()
    found = interleaved(
        {"a": clock.work("a", 0.5), "b": clock.work("b", 2.0)}, 5, sample_seconds=1.0, clock=clock
    )
    assert found["a"].seconds == pytest.approx([0.5] * 5)
    assert found["b"].seconds == pytest.approx([2.0] * 5)
    turns = clock.calls[4:]
    for turn in range(5):
        assert sorted(turns[3 * turn : 3 * turn + 3]) == ["a", "a", "b"]


def test_the_order_changes_from_round_to_round_and_is_the_same_in_every_run():
    orders = []
    for _ in range(2):
        clock = Clock()
        interleaved({n: clock.work(n, 1.0) for n in "abc"}, 6, sample_seconds=0.1, clock=clock)
        orders.append(clock.calls)
    assert orders[0] == orders[1]
    rounds = ["".join(orders[0][i : i + 3]) for i in range(6, len(orders[0]), 3)]
    assert len(set(rounds)) > 1


def test_a_function_that_takes_no_time_is_not_called_for_ever():
    clock = Clock()
    found = interleaved({"a": clock.work("a", 0.0)}, 1, clock=clock)
    assert len(clock.calls) == 2 + CALLS_MAX
    assert found["a"].seconds == (0.0,)


def test_what_a_function_raises_is_not_hidden():
    def broken() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        interleaved({"a": broken}, 1)
