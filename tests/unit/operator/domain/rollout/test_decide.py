"""The next step of a rollout, strategy by strategy."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_operator.api.model import AnalysisPolicy, Problem, RolloutPolicy, Strategy
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.decide import decide_rollout
from atheria_operator.domain.rollout.state import (
    Phase,
    RevisionFacts,
    RolloutDecision,
    RolloutObservation,
    RolloutState,
)
from atheria_operator.domain.rollout.stored import read_state, write_state

NO_NODE = Problem(
    reason="Unschedulable", message="pod p cannot be placed: 0/1 nodes: insufficient nvidia.com/gpu"
)
CRASH = Problem(reason="ModelFailed", message="pod p last ended with exit code 1: no module named nope")
REJECTED = Problem(reason="QualityRejected", message="F_16 0.91 is below 0.99", is_permanent=True)


def clock(seconds: int) -> str:
    return f"2026-01-01T00:{seconds // 60:02d}:{seconds % 60:02d}Z"


def up(ready: int = 1, **more: Any) -> RevisionFacts:
    """A revision that runs."""
    return RevisionFacts(
        exists=True, asked_pods=more.pop("asked", ready), ready_pods=ready, present_pods=ready, **more
    )


def starting(asked: int = 1, **more: Any) -> RevisionFacts:
    """A revision whose pods are not ready."""
    return RevisionFacts(exists=True, asked_pods=asked, present_pods=asked, **more)


ZERO = RevisionFacts(exists=True)


class Rollout:
    """A model with revision `a` active, and decisions one after the other."""

    def __init__(self, strategy: str = "auto", state: RolloutState | None = None, **policy: Any) -> None:
        self.policy = RolloutPolicy(strategy=Strategy(strategy), **policy)
        self.state = state or RolloutState(active="a", since=clock(0))

    def decide(
        self, desired: str = "b", at: int = 0, command: str = "", **revisions: RevisionFacts
    ) -> RolloutDecision:
        seen = RolloutObservation(desired=desired, revisions=revisions, command_text=command)
        self.state, decision = decide_rollout(self.state, seen, self.policy, clock(at))
        assert sum(decision.weights.values()) == 100
        return decision


def test_a_surge_waits_for_as_many_ready_pods_as_the_old_revision_has_and_then_takes_all_calls() -> None:
    rollout = Rollout("surge")
    waiting = rollout.decide(a=up(2), b=up(1, asked=2))
    assert (waiting.weights, waiting.reason, waiting.progressing) == (
        {"a": 100, "b": 0},
        "WaitingForReady",
        "True",
    )
    assert waiting.may_run == {"a", "b"}
    assert "1 of 2 pods ready" in waiting.message
    done = rollout.decide(a=up(2), b=up(2))
    assert (done.weights, done.reason, done.progressing) == ({"b": 100}, "Complete", "False")
    assert done.may_run == {"b"}
    assert done.keep == {"a", "b"}
    assert rollout.state.history == ("a",)


def test_pods_that_find_no_node_do_not_keep_a_surge_from_taking_over_with_those_that_do() -> None:
    rollout = Rollout("surge")
    assert rollout.decide(a=up(2), b=up(1, asked=2, unplaced=NO_NODE)).weights == {"b": 100}


def test_auto_swaps_once_a_new_pod_has_found_no_node_for_long_and_says_the_schedulers_words() -> None:
    rollout = Rollout(unschedulable_seconds=60)
    early = rollout.decide(a=up(), b=starting(unplaced=NO_NODE, unplaced_seconds=59))
    assert (early.reason, early.may_run) == ("WaitingForReady", {"a", "b"})
    assert "insufficient nvidia.com/gpu" in early.message
    late = rollout.decide(a=up(), b=starting(unplaced=NO_NODE, unplaced_seconds=60))
    assert (late.reason, late.may_run, late.weights["a"]) == ("Draining", frozenset(), 100)
    assert "insufficient nvidia.com/gpu" in late.message


def test_a_swap_starts_the_new_revision_only_when_the_old_pods_are_gone() -> None:
    rollout = Rollout("swap")
    assert rollout.decide(a=up()).may_run == {"a"}
    assert rollout.decide(a=up(), b=ZERO).reason == "Draining"
    leaving = RevisionFacts(exists=True, present_pods=1)
    assert rollout.decide(a=leaving, b=ZERO).may_run == frozenset()
    swapping = rollout.decide(a=ZERO, b=ZERO)
    assert (swapping.reason, swapping.may_run, swapping.weights) == ("Swapping", {"b"}, {"b": 100})
    assert rollout.state.active == "b"
    assert rollout.decide(a=ZERO, b=starting()).reason == "Swapping"
    assert rollout.decide(a=ZERO, b=up()).reason == "Complete"
    assert rollout.state.history == ("a",)


@pytest.mark.parametrize("failure", [CRASH, REJECTED])
def test_a_swap_whose_new_revision_fails_returns_to_the_old_one_and_stays_there(failure: Problem) -> None:
    rollout = Rollout("swap")
    for facts in ({"a": up()}, {"a": up(), "b": ZERO}, {"a": ZERO, "b": ZERO}):
        rollout.decide(**facts)
    back = rollout.decide(a=ZERO, b=starting(failure=failure))
    assert (back.reason, back.weights, back.may_run) == ("RolledBack", {"a": 100}, {"a"})
    assert failure.message in back.message
    assert rollout.decide(a=up(), b=ZERO).weights == {"a": 100}
    assert rollout.state.returned == "b"


def test_a_swap_whose_new_revision_finds_no_node_returns_after_a_while_not_at_once() -> None:
    rollout = Rollout("swap", unschedulable_seconds=60)
    for facts in ({"a": up()}, {"a": up(), "b": ZERO}, {"a": ZERO, "b": ZERO}):
        rollout.decide(**facts)
    assert rollout.decide(a=ZERO, b=starting(unplaced=NO_NODE, unplaced_seconds=5)).reason == "Swapping"
    assert rollout.decide(a=ZERO, b=starting(unplaced=NO_NODE, unplaced_seconds=61)).weights == {"a": 100}


def canary(**more: Any) -> Rollout:
    return Rollout("canary", step_seconds=60, analysis=AnalysisPolicy(min_calls=10), **more)


GOOD = CallFigures(calls=100, errors=1, latency={0.1: 95, 0.2: 5})


def test_a_canary_goes_up_its_steps_with_time_and_calls_and_then_takes_all() -> None:
    rollout = canary()
    assert rollout.decide(a=up(), b=starting()).weights == {"a": 100, "b": 0}
    first = rollout.decide(a=up(), b=up())
    assert (first.weights, first.reason) == ({"a": 90, "b": 10}, "CanaryStep")
    assert "step 1 of 3" in first.message
    assert rollout.decide(at=59, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 10
    few = CallFigures(calls=9, latency={0.1: 9})
    assert rollout.decide(at=200, a=up(calls=GOOD), b=up(calls=few)).weights["b"] == 10
    assert rollout.decide(at=201, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 50
    assert rollout.decide(at=260, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 50
    done = rollout.decide(at=262, a=up(calls=GOOD), b=up(calls=GOOD))
    assert (done.weights, done.reason) == ({"b": 100}, "Complete")
    assert "1.00% of 100 calls failed" in done.message


def test_a_step_that_begins_in_the_future_because_a_clock_was_put_right_lasts_as_long_as_any_other() -> None:
    rollout = canary()
    rollout.decide(at=3000, a=up(), b=up())
    # The clock was 40 minutes fast.
    assert rollout.decide(at=600, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 10
    assert rollout.decide(at=659, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 10
    assert rollout.decide(at=660, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 50


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (CallFigures(calls=100, errors=4, latency={0.1: 100}), "4.00% of 100 calls failed, 1.00% of 100"),
        (CallFigures(calls=100, errors=1, latency={0.1: 90, 0.4: 10}), "p95 250 ms against 100 ms"),
    ],
    ids=["errors", "slower"],
)
def test_a_canary_that_is_worse_gives_its_calls_back_with_the_numbers(
    figures: CallFigures, words: str
) -> None:
    rollout = canary()
    rollout.decide(a=up(), b=up())
    back = rollout.decide(at=5, a=up(calls=GOOD), b=up(calls=figures))
    assert (back.weights, back.reason, back.progressing) == ({"a": 100}, "RolledBack", "False")
    assert words in back.message
    assert "at 10 % of the calls" in back.message
    assert back.may_run == {"a"}
    assert rollout.decide(at=6, a=up(), b=up()).weights == {"a": 100}


def test_as_bad_as_the_stable_revision_is_not_worse() -> None:
    rollout = canary()
    rollout.decide(a=up(), b=up())
    bad = CallFigures(calls=100, errors=50, latency={1.0: 100})
    assert rollout.decide(at=5, a=up(calls=bad), b=up(calls=bad)).weights["b"] == 10


def test_a_canary_at_zero_waits_for_calls_instead_of_taking_over_unseen() -> None:
    rollout = canary()
    assert rollout.decide(a=ZERO, b=ZERO).weights == {"a": 100, "b": 0}
    assert rollout.decide(a=up(), b=up()).weights["b"] == 10
    assert rollout.decide(a=ZERO, b=ZERO).weights["b"] == 0
    assert rollout.decide(a=up(), b=up()).weights["b"] == 10


@pytest.mark.parametrize("strategy", ["auto", "surge", "canary", "swap"])
def test_a_candidate_that_was_refused_for_good_is_given_up_and_costs_no_more_pods(strategy: str) -> None:
    rollout = Rollout(strategy)
    rollout.decide(a=up(), b=ZERO)
    back = rollout.decide(a=up(), b=starting(failure=REJECTED))
    assert (back.weights, back.may_run, back.reason) == ({"a": 100}, {"a"}, "RolledBack")
    assert "F_16 0.91 is below 0.99" in back.message


def test_a_passing_fault_of_a_candidate_is_waited_out() -> None:
    rollout = Rollout("surge")
    waiting = rollout.decide(a=up(), b=starting(failure=CRASH))
    assert (waiting.reason, waiting.weights["a"]) == ("WaitingForReady", 100)
    assert CRASH.message in waiting.message
    assert rollout.decide(a=up(), b=up()).weights == {"b": 100}


def test_a_pause_keeps_a_canary_at_its_step_until_it_is_taken_away() -> None:
    rollout = canary()
    rollout.decide(a=up(), b=up())
    paused = rollout.decide(at=300, command="paused", a=up(calls=GOOD), b=up(calls=GOOD))
    assert (paused.weights["b"], paused.reason, paused.progressing) == (10, "Paused", "Unknown")
    assert rollout.decide(at=301, a=up(calls=GOOD), b=up(calls=GOOD)).weights["b"] == 50


def test_a_paused_rollout_still_gives_up_a_candidate_that_fails() -> None:
    rollout = canary(is_paused=True)
    rollout.decide(a=up(), b=up())
    assert rollout.decide(a=up(), b=starting(failure=REJECTED)).reason == "RolledBack"


def test_promote_skips_the_steps_and_the_pause_once() -> None:
    rollout = canary(is_paused=True)
    rollout.decide(a=up(), b=up())
    assert rollout.decide(command="promote", a=up(), b=up()).weights == {"b": 100}
    # The next change is not promoted by the annotation that is still there.
    assert rollout.decide("c", command="promote", b=up(), c=up()).reason == "Paused"


def test_rollback_gives_up_a_running_rollout_and_promote_tries_it_again() -> None:
    rollout = canary()
    rollout.decide(a=up(), b=up())
    assert rollout.decide(command="rollback", a=up(), b=up()).weights == {"a": 100}
    assert rollout.decide(a=up(), b=ZERO).weights == {"a": 100}
    assert rollout.decide(command="promote", a=up(), b=up()).weights == {"b": 100}


def test_the_same_command_with_another_suffix_is_a_new_one() -> None:
    rollout = canary(is_paused=True)
    assert rollout.decide(command="promote:1", a=up(), b=up()).weights == {"b": 100}
    assert rollout.decide("c", command="promote:1", b=up(), c=up()).weights["b"] == 100
    assert rollout.decide("c", command="promote:2", b=up(), c=up()).weights == {"c": 100}


def test_words_that_mean_nothing_do_nothing() -> None:
    rollout = canary()
    assert rollout.decide(command="promoted", a=up(), b=up()).weights == {"a": 90, "b": 10}


def test_rollback_after_the_rollout_goes_back_to_the_revision_before_without_steps() -> None:
    rollout = canary(state=RolloutState(active="b", history=("a",), since=clock(0)))
    going = rollout.decide(command="rollback", a=ZERO, b=up())
    assert going.may_run == {"a", "b"}
    back = rollout.decide(command="rollback", a=up(), b=up())
    assert (back.weights, back.reason) == ({"a": 100}, "RolledBack")
    assert rollout.decide(command="rollback", a=up(), b=ZERO).weights == {"a": 100}
    # Another spec is rolled out as any other.
    assert rollout.decide("c", command="rollback", a=up(), b=ZERO, c=up()).weights["c"] == 10


def test_a_change_in_the_middle_of_a_rollout_takes_the_place_of_the_candidate() -> None:
    rollout = canary()
    rollout.decide(a=up(), b=up())
    changed = rollout.decide("c", a=up(), b=up(), c=starting())
    assert (changed.weights, changed.may_run) == ({"a": 100, "c": 0}, {"a", "c"})
    assert "b" not in changed.keep


def test_a_change_in_the_middle_of_a_swap_goes_on_with_the_newest() -> None:
    rollout = Rollout("swap")
    rollout.decide(a=up(), b=ZERO)
    assert rollout.decide("c", a=RevisionFacts(exists=True, present_pods=1), c=ZERO).reason == "Draining"
    assert rollout.decide("c", a=ZERO, c=ZERO).may_run == {"c"}


def test_going_back_to_the_active_spec_ends_a_rollout_and_a_drain() -> None:
    for strategy in ("canary", "swap"):
        rollout = Rollout(strategy)
        rollout.decide(a=up(), b=up())
        back = rollout.decide("a", a=up(), b=up())
        assert (back.weights, back.may_run, back.reason) == ({"a": 100}, {"a"}, "Complete")


@pytest.mark.parametrize(("strategy", "returned"), [("auto", ""), ("swap", "b")])
def test_at_zero_a_passing_fault_gives_the_calls_back_and_only_a_swap_is_not_tried_again(
    strategy: str, returned: str
) -> None:
    rollout = Rollout(strategy)
    assert rollout.decide(a=ZERO, b=ZERO).weights == {"b": 100}
    back = rollout.decide(a=ZERO, b=starting(failure=CRASH))
    assert back.weights["a"] == 100
    assert rollout.state.returned == returned
    assert rollout.decide(a=up(), b=starting(failure=CRASH)).weights["a"] == 100


def test_a_fix_of_a_model_that_never_started_takes_over_as_soon_as_it_is_ready() -> None:
    rollout = Rollout("auto", RolloutState(active="a", is_proven=False, phase=Phase.STARTING, since=clock(0)))
    assert rollout.decide(a=starting(failure=CRASH), b=starting()).may_run == {"a", "b"}
    done = rollout.decide(a=starting(failure=CRASH), b=up())
    assert (done.weights, done.keep) == ({"b": 100}, {"b"})


def test_old_revisions_are_kept_as_far_as_the_limit_newest_first() -> None:
    rollout = Rollout("surge", history_limit=1)
    rollout.decide("b", a=up(), b=up())
    kept = rollout.decide("c", a=ZERO, b=up(), c=up()).keep
    assert kept == {"c", "b"}


def test_the_state_survives_the_status() -> None:
    rollout = canary()
    rollout.decide(a=up(), b=up())
    stored = {"activeRevision": rollout.state.active, "rollout": write_state(rollout.state)}
    assert read_state(stored) == rollout.state
    assert rollout.state.phase is Phase.STEP
