"""How many lines a burst leaves in a log."""

from __future__ import annotations

from atheria_contract.log_budget import LogBudget


def test_a_burst_leaves_some_lines_and_then_one_now_and_then() -> None:
    budget = LogBudget(per_second=2.0, burst=3)
    assert [budget.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert budget.skipped == 2
    assert budget.take(100.5)
    assert not budget.take(100.6)
    assert [budget.take(1000.0) for _ in range(4)] == [True, True, True, False]
