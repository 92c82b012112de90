"""The autoscaler's decisions, told as stories in time steps, and as properties."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.api.model import ScalingClass, ScalingPolicy
from atheria_operator.domain.scaling.decide import STARTUP_ALLOWANCE_SECONDS, decide
from atheria_operator.domain.scaling.decision import Decision, ScalingReason
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState

POLICY = ScalingPolicy(
    max_replicas=4,
    target_calls=2,
    target_utilization=1.0,
    idle_timeout_seconds=10,
    scale_down_delay_seconds=5,
)


def calls(held: int = 0, in_flight: int = 0, arrivals: int = 0, *, complete: bool = True) -> Demand:
    return Demand(held=held, in_flight=in_flight, arrivals_total=arrivals, is_complete=complete)


@dataclass
class Story:
    """A model whose decisions are carried out at once; its pods are ready at once unless `is_starting`."""

    policy: ScalingPolicy = POLICY
    replicas: int = 0
    is_starting: bool = False
    now: float = 100.0
    state: ScalingState = field(default_factory=ScalingState)

    def after(self, seconds: float, demand: Demand | None) -> Decision:
        """Time passes, then the autoscaler looks."""
        self.now += seconds
        observation = Observation(
            requested_replicas=self.replicas,
            actual_replicas=self.replicas,
            ready_replicas=0 if self.is_starting else self.replicas,
            demand=demand,
        )
        self.state, decision = decide(self.state, observation, self.policy, self.now)
        self.replicas = decision.replicas
        return decision


@pytest.mark.parametrize(
    ("held", "in_flight", "pods"), [(1, 0, 1), (2, 0, 1), (3, 0, 2), (0, 5, 3), (50, 50, 4)]
)
def test_demand_over_target_rounded_up_within_the_bounds(held: int, in_flight: int, pods: int) -> None:
    decision = Story().after(0, calls(held, in_flight, arrivals=held))
    assert (decision.replicas, decision.reason) == (pods, ScalingReason.DEMAND)
    assert f"{held} calls held and {in_flight} in flight" in decision.message


def test_an_idle_model_goes_to_zero_after_the_whole_idle_timeout_and_not_before() -> None:
    story = Story(replicas=1)
    for _ in range(10):
        assert story.after(1, calls()).replicas == 1
    decision = story.after(1, calls())
    assert (decision.replicas, decision.reason) == (0, ScalingReason.IDLE)
    assert story.after(1, calls()).replicas == 0


def test_a_call_starts_the_idle_timeout_anew_even_between_two_reports() -> None:
    story = Story(replicas=1)
    story.after(1, calls())
    story.after(9, calls(arrivals=1))
    for _ in range(2):
        assert story.after(5, calls(arrivals=1)).replicas == 1
    assert story.after(5, calls(arrivals=1)).replicas == 0


def test_silence_keeps_what_there_is_and_counts_for_nothing() -> None:
    story = Story(replicas=2)
    story.after(9, calls())
    decision = story.after(1000, None)
    assert (decision.replicas, decision.is_fresh, decision.reason) == (2, False, ScalingReason.NO_REPORTS)
    assert story.after(5, calls()).replicas == 2
    assert story.after(6, calls()).replicas == 1
    assert story.after(6, calls()).replicas == 0


def test_one_silent_gateway_may_add_pods_but_takes_none_away() -> None:
    story = Story(replicas=2)
    for _ in range(100):
        assert story.after(5, calls(complete=False)).replicas == 2
    assert story.after(1, calls(7, complete=False)).replicas == 4


def test_a_wake_by_a_gateway_is_kept_for_a_whole_idle_timeout_after_it() -> None:
    story = Story(replicas=1)
    for _ in range(30):
        story.after(1, calls())
    assert story.replicas == 0
    story.replicas = 1
    for _ in range(10):
        assert story.after(1, calls()).replicas == 1
    assert story.after(1, calls()).replicas == 0


def test_a_cold_start_longer_than_the_idle_timeout_is_not_idleness() -> None:
    story = Story(replicas=1, is_starting=True)
    for _ in range(60):
        decision = story.after(1, calls())
        assert (decision.replicas, decision.reason) == (1, ScalingReason.STARTING)
    story.is_starting = False
    for _ in range(10):
        assert story.after(1, calls()).replicas == 1
    assert story.after(1, calls()).replicas == 0


def test_a_model_that_never_starts_is_given_up_after_the_allowance_and_the_idle_timeout() -> None:
    story = Story(replicas=1, is_starting=True)
    story.after(1, calls())
    assert story.after(STARTUP_ALLOWANCE_SECONDS - 1, calls()).replicas == 1
    assert story.after(1, calls()).replicas == 1
    assert story.after(POLICY.idle_timeout_seconds, calls()).replicas == 0


def test_pods_go_only_when_fewer_were_enough_for_the_whole_delay() -> None:
    story = Story(replicas=4)
    assert story.after(1, calls(2)).replicas == 4
    assert story.after(4, calls(6)).replicas == 4
    assert story.after(0.5, calls(2)).replicas == 4
    # The most that was needed within the delay is what stays.
    decision = story.after(0.5, calls(2))
    assert (decision.replicas, decision.reason) == (3, ScalingReason.LOWER_DEMAND)
    assert story.after(1, calls(7)).replicas == 4


def test_calls_that_came_and_went_wake_nobody() -> None:
    story = Story()
    story.after(1, calls(arrivals=1))
    assert story.after(1, calls(arrivals=2)).replicas == 0


def test_a_minimum_is_raised_to_without_any_report_and_a_maximum_lowered_to() -> None:
    policy = ScalingPolicy(min_replicas=2, max_replicas=3)
    assert Story(policy=policy).after(0, None).replicas == 2
    assert Story(policy=policy, replicas=9).after(0, None).replicas == 3


def test_an_external_class_copies_the_request_within_the_bounds() -> None:
    policy = ScalingPolicy(min_replicas=1, max_replicas=3, scaling_class=ScalingClass.EXTERNAL)
    for requested, decided in ((0, 1), (2, 2), (9, 3)):
        observation = Observation(
            requested_replicas=requested, actual_replicas=7, ready_replicas=7, demand=calls(99)
        )
        assert decide(ScalingState(), observation, policy, 0)[1].replicas == decided


POLICIES = st.builds(
    lambda low, more, target, idle, delay: ScalingPolicy(
        min_replicas=low,
        max_replicas=max(1, low + more),
        target_calls=target,
        idle_timeout_seconds=idle,
        scale_down_delay_seconds=delay,
    ),
    st.integers(0, 3),
    st.integers(0, 5),
    st.integers(1, 5),
    st.floats(0, 20),
    st.floats(0, 20),
)
DEMANDS = st.none() | st.builds(
    Demand,
    held=st.integers(0, 20),
    in_flight=st.integers(0, 20),
    arrivals_total=st.integers(0, 3),
    is_complete=st.booleans(),
)
STEPS = st.lists(st.tuples(st.floats(0.1, 10), DEMANDS, st.none() | st.integers(0, 5)), max_size=30)


@given(policy=POLICIES, replicas=st.integers(0, 5), steps=STEPS)
def test_whatever_happens_the_bounds_hold_demand_is_served_and_silence_lowers_nothing(
    policy: ScalingPolicy, replicas: int, steps: list[tuple[float, Demand | None, int | None]]
) -> None:
    story = Story(policy=policy, replicas=policy.clamp(replicas))
    for seconds, demand, woken in steps:
        if woken is not None:
            story.replicas = max(story.replicas, policy.clamp(woken))
        before = story.replicas
        decision = story.after(seconds, demand)
        assert policy.min_replicas <= decision.replicas <= policy.max_replicas
        if demand is None or not demand.is_complete:
            assert decision.replicas >= before
        if demand is not None and demand.calls:
            assert decision.replicas >= 1
        if woken and story.policy.idle_timeout_seconds > 0 and before:
            assert decision.replicas >= 1


@given(policy=POLICIES, demand=DEMANDS, requested=st.integers(0, 8), actual=st.integers(0, 8))
def test_a_fresh_start_never_lowers_within_the_bounds(
    policy: ScalingPolicy, demand: Demand | None, requested: int, actual: int
) -> None:
    observation = Observation(
        requested_replicas=requested, actual_replicas=actual, ready_replicas=actual, demand=demand
    )
    decision = decide(ScalingState(), observation, policy, 5.0)[1]
    lowest = min(max(requested, actual), policy.max_replicas)
    if policy.idle_timeout_seconds > 0 and policy.scale_down_delay_seconds > 0:
        assert decision.replicas >= lowest
