"""Wake flags and the board of demand reports."""

from __future__ import annotations

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


async def test_a_flag_is_set_at_first_and_by_wakes_of_its_own_model_only() -> None:
    wakeups = Wakeups()
    with wakeups.listening(KEY) as one, wakeups.listening(KEY) as two, wakeups.listening(OTHER) as other:
        assert one.is_set()
        for flag in (one, two, other):
            flag.clear()
        wakeups.wake(KEY)
        assert (one.is_set(), two.is_set(), other.is_set()) == (True, True, False)
        wakeups.wake_all()
        assert other.is_set()
    wakeups.wake(KEY)


async def test_a_report_wakes_the_models_whose_calls_changed() -> None:
    clock: Any = FixedClock()
    wakeups = Wakeups()
    board = DemandBoard(clock, wakeups)
    with wakeups.listening(KEY) as one, wakeups.listening(OTHER) as other:
        one.clear()
        other.clear()
        board.take("g", {KEY: Calls(held=1), OTHER: Calls()})
        assert (one.is_set(), other.is_set()) == (True, False)
        one.clear()
        board.take("g", {KEY: Calls(held=1, arrivals_total=9), OTHER: Calls()})
        assert not one.is_set()
        board.take("g", {KEY: Calls(), OTHER: Calls()})
        assert one.is_set()
    seen = board.demand(KEY)
    assert seen is not None
    assert seen.calls == 0
    clock.seconds = 4.0
    assert board.demand(KEY) is None
