"""Who is woken, and the board of demand reports."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.scaling.demand import Calls
from atheria_operator.runtime.demand_board import DemandBoard
from atheria_operator.runtime.wakeups import Wakeups

KEY, OTHER = ModelKey(namespace="demo", name="a"), ModelKey(namespace="demo", name="b")


class FixedClock:
    """A clock that a test sets."""

    seconds = 0.0

    def monotonic_seconds(self) -> float:
        return self.seconds

    def now(self) -> str:
        return ""

    def jitter(self) -> float:
        return 0.0


def test_a_wake_reaches_the_listeners_of_its_own_model_only() -> None:
    woken: list[str] = []
    told: list[str] = []
    wakeups = Wakeups(lambda: told.append("told"))
    with (
        wakeups.listening(KEY, lambda: woken.append("one"), lambda: woken.append("two")),
        wakeups.listening(OTHER, lambda: woken.append("other")),
    ):
        wakeups.wake(KEY)
        assert woken == ["one", "two"]
        wakeups.wake_all()
        assert woken == ["one", "two", "one", "two", "other"]
    wakeups.wake(KEY)
    wakeups.wake_all()
    assert len(woken) == 5
    assert told == ["told"]


def test_a_listener_may_stop_listening_while_it_is_woken() -> None:
    wakeups = Wakeups()
    listening = ExitStack()
    woken: list[str] = []
    listening.enter_context(wakeups.listening(KEY, listening.close))
    with wakeups.listening(KEY, lambda: woken.append("other")):
        wakeups.wake_all()
        wakeups.wake(KEY)
    assert woken == ["other", "other"]


def test_a_report_wakes_the_models_whose_calls_changed() -> None:
    clock: Any = FixedClock()
    wakeups = Wakeups()
    board = DemandBoard(clock, wakeups)
    woken: list[ModelKey] = []
    with (
        wakeups.listening(KEY, lambda: woken.append(KEY)),
        wakeups.listening(OTHER, lambda: woken.append(OTHER)),
    ):
        board.take("g", {KEY: Calls(held=1), OTHER: Calls()})
        assert woken == [KEY]
        board.take("g", {KEY: Calls(held=1, arrivals_total=9), OTHER: Calls()})
        assert woken == [KEY]
        board.take("g", {KEY: Calls(), OTHER: Calls()})
        assert woken == [KEY, KEY]
    seen = board.demand(KEY)
    assert seen is not None
    assert seen.calls == 0
    clock.seconds = 4.0
    assert board.demand(KEY) is None
