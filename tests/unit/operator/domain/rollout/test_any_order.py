"""Whatever happens to pods, specs, annotations and the clock, and in whatever order: what holds for every decision."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_operator.api.model import AnalysisPolicy, Problem, RolloutPolicy, Strategy
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.decide import decide_rollout
from atheria_operator.domain.rollout.quality import Metric, QualityFigures
from atheria_operator.domain.rollout.state import (
    Phase,
    RevisionFacts,
    RolloutObservation,
    RolloutState,
)
from atheria_operator.domain.rollout.stored import read_state, write_state

NAMES = ("a", "b", "c")
NOON_SECONDS = 43_200
CRASH = Problem(reason="ModelFailed", message="it ended")
REJECTED = Problem(reason="QualityRejected", message="it is not good enough", is_permanent=True)
STUCK = Problem(reason="PodStuck", message="it never goes")
GOOD, BAD = (
    QualityFigures(metrics={"C4": Metric(value=value, limit=0.05, is_higher_better=False)})
    for value in (0.01, 0.2)
)
NO_NODE = Problem(reason="Unschedulable", message="no node")

figures = st.builds(
    lambda calls, errors, slow: CallFigures(
        calls=calls, errors=min(errors, calls), latency={0.1: calls - min(slow, calls), 0.9: min(slow, calls)}
    ),
    st.integers(0, 100),
    st.integers(0, 20),
    st.integers(0, 20),
)
facts = st.builds(
    lambda asked, ready, leaving, stuck, failure, unplaced, seconds, calls, quality: RevisionFacts(
        exists=True,
        asked_pods=asked,
        ready_pods=min(asked, ready),
        present_pods=asked + leaving,
        stuck_pods=min(leaving, stuck),
        stuck=STUCK if leaving and stuck else None,
        failure=failure,
        unplaced=unplaced,
        unplaced_seconds=seconds if unplaced else 0.0,
        calls=calls,
        quality=quality,
    ),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 1),
    st.sampled_from([None, None, CRASH, REJECTED]),
    st.sampled_from([None, None, NO_NODE]),
    st.sampled_from([0.0, 70.0, 1000.0]),
    figures,
    st.sampled_from([None, None, GOOD, BAD]),
)
looks = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.dictionaries(st.sampled_from(NAMES), facts),
        st.sampled_from(["", "paused", "promote", "promote:2", "rollback", "rollback:2", "nonsense"]),
        # A clock that is put right goes backwards, too.
        st.integers(-5000, 5000),
    ),
    min_size=1,
    max_size=8,
)
policies = st.builds(
    RolloutPolicy,
    strategy=st.sampled_from(list(Strategy)),
    steps=st.sampled_from([(100,), (10, 50, 100), (1, 99, 100)]),
    step_seconds=st.sampled_from([0.0, 60.0]),
    analysis=st.builds(AnalysisPolicy, min_calls=st.sampled_from([0, 20])),
    is_paused=st.booleans(),
    waits_for_stuck_pods=st.booleans(),
    history_limit=st.integers(0, 2),
)


def now(seconds: int) -> str:
    return f"2026-01-01T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}Z"


@settings(max_examples=100, deadline=None)
@given(looks, policies)
def test_what_holds_for_every_decision(
    given_looks: list[tuple[str, dict[str, RevisionFacts], str, int]], policy: RolloutPolicy
) -> None:
    state, clock = RolloutState(), NOON_SECONDS
    for desired, revisions, command, seconds in given_looks:
        clock += seconds
        seen = RolloutObservation(desired=desired, revisions=revisions, command_text=command)
        before = state
        state, decision = decide_rollout(before, seen, policy, now(clock))
        assert sum(decision.weights.values()) == 100
        assert all(weight >= 0 for weight in decision.weights.values())
        # Calls go to a revision that exists, or is being made.
        takers = {name for name, weight in decision.weights.items() if weight}
        assert takers <= {*revisions, desired}
        assert takers | {state.active, desired} <= decision.keep
        # Nobody takes calls who may not have pods, but while a swap drains; and then nobody may.
        assert takers <= decision.may_run or (state.phase is Phase.DRAINING and not decision.may_run)
        if policy.strategy is Strategy.SWAP:
            assert len(decision.may_run) <= 1
        # A revision with ready pods loses its calls only to one that is ready, or where it is not ready itself.
        was = revisions.get(before.active)
        if was is not None and was.ready_pods and state.active != before.active:
            assert revisions[state.active].ready_pods or command.startswith("rollback")
        # What was given up takes calls only while another one, which a person asked for, is on its way.
        assert state.returned != state.active or state.returned != desired or state.candidate
        # A gateway is told in the status, and an operator that starts anew reads it there.
        assert read_state({"activeRevision": state.active, "rollout": write_state(state)}) == state
        # The order in which things were seen has no part in it, and neither has a second look.
        reversed_seen = RolloutObservation(
            desired=desired, revisions=dict(reversed(revisions.items())), command_text=command
        )
        assert decide_rollout(before, reversed_seen, policy, now(clock)) == (state, decision)


@settings(max_examples=50, deadline=None)
@given(looks, policies)
def test_the_same_look_again_comes_to_rest(
    given_looks: list[tuple[str, dict[str, RevisionFacts], str, int]], policy: RolloutPolicy
) -> None:
    state, clock = RolloutState(), NOON_SECONDS
    for desired, revisions, command, seconds in given_looks:
        clock += seconds
        seen = RolloutObservation(desired=desired, revisions=revisions, command_text=command)
        state, _ = decide_rollout(state, seen, policy, now(clock))
    seen_states = []
    for _ in range(12):
        state, decision = decide_rollout(state, seen, policy, now(clock))
        seen_states.append((state, decision))
    assert seen_states[-1] == seen_states[-2]
