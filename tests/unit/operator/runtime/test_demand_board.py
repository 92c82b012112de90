"""Calls of all gateways together: never less than before, whichever gateway restarts or comes late."""

from __future__ import annotations

from typing import Any

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.scaling.demand import Calls
from atheria_operator.runtime.demand_board import DemandBoard
from atheria_operator.runtime.wakeups import Wakeups

KEY = ModelKey(namespace="demo", name="qca")


class Clock:
    def monotonic_seconds(self) -> float:
        return 1.0


def test_calls_are_counted_by_gateway_and_a_restart_begins_at_zero() -> None:
    clock: Any = Clock()
    board = DemandBoard(clock, Wakeups())

    def report(gateway: str, arrivals: int) -> int:
        board.take(gateway, {KEY: Calls(arrivals_total=arrivals)})
        return board.calls_total(KEY)

    # What a gateway counted before this process began is not new.
    assert report("a", 1000) == 0
    assert report("a", 1005) == 5
    assert report("b", 70) == 5
    assert report("b", 71) == 6
    assert report("a", 3) == 9
    assert report("a", 3) == 9
    board.forget(KEY)
    assert board.calls_total(KEY) == 0


def test_revisions_are_summed_over_gateways_and_those_that_nobody_shares_any_more_are_forgotten() -> None:
    clock: Any = Clock()
    board = DemandBoard(clock, Wakeups())

    def report(gateway: str, **totals: int) -> dict[str, int]:
        revisions = {name: CallFigures(calls=calls, latency={0.1: calls}) for name, calls in totals.items()}
        board.take(gateway, {KEY: Calls(revisions=revisions)})
        return {name: figures.calls for name, figures in board.revision_calls(KEY).items()}

    # What a gateway has counted when it is first heard of may have been counted by an operator before this one.
    assert report("g", a=9, b=1) == {"a": 0, "b": 0}
    assert report("h", a=90, b=10) == {"a": 0, "b": 0}
    assert report("g", a=10, b=2) == {"a": 1, "b": 1}
    # A gateway that restarted counts from zero.
    assert report("h", a=3, b=0) == {"a": 4, "b": 1}
    assert board.revision_calls(KEY)["a"].latency == {0.1: 4}
    # One that is heard of already counts another revision from the beginning.
    report("h", b=0, c=1)
    assert report("g", b=2, c=1) == {"b": 1, "c": 2}


def test_arrivals_of_the_demand_are_counted_by_gateway_so_that_one_that_comes_late_is_no_burst() -> None:
    clock: Any = Clock()
    board = DemandBoard(clock, Wakeups())

    def arrivals(gateway: str, total: int) -> int:
        board.take(gateway, {KEY: Calls(arrivals_total=total)})
        said = board.demand(KEY)
        assert said is not None
        return said.arrivals_total

    assert arrivals("a", 1000) == 0
    assert arrivals("b", 5000) == 0
    assert arrivals("b", 5002) == 2
    assert arrivals("a", 1) == 3
