"""What `decide` does where somebody else decides: it copies, goes on looking at the calls, and takes an HPA's last pod."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.api.model import ScalingClass, ScalingPolicy
from atheria_operator.domain.scaling.decide import decide
from atheria_operator.domain.scaling.decision import Decision, ScalingReason
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState

HPA = ScalingPolicy(
    max_replicas=8, idle_timeout_seconds=60, weighs_cold_starts=False, scaling_class=ScalingClass.HPA
)
KEDA = replace(HPA, scaling_class=ScalingClass.KEDA)


def seen(
    requested: int, actual: int, in_flight: int = 0, ready: int | None = None, *, is_silent: bool = False
) -> Observation:
    demand = Demand(held=0, in_flight=in_flight, arrivals_total=in_flight, is_complete=True)
    return Observation(
        requested_replicas=requested,
        actual_replicas=actual,
        ready_replicas=actual if ready is None else ready,
        demand=None if is_silent else demand,
    )


def story(policy: ScalingPolicy, *looks: tuple[float, Observation]) -> tuple[ScalingState, Decision]:
    state, decision = ScalingState(), None
    for now, observation in looks:
        state, decision = decide(state, observation, policy, now)
    assert decision is not None
    return state, decision


@pytest.mark.parametrize("policy", [HPA, KEDA], ids=["hpa", "keda"])
def test_what_is_requested_is_what_there_shall_be_whatever_the_calls(policy: ScalingPolicy) -> None:
    state, decision = story(policy, (0, seen(3, 1, 50)), (1, seen(3, 1, 50)))
    assert (decision.replicas, decision.reason) == (3, ScalingReason.EXTERNAL)
    assert decision.inputs["inFlight"] == 50
    assert len(state.marks) == 2
    _, decision = decide(state, seen(1, 3, 50), policy, 2)
    assert decision.replicas == 1


def idle(policy: ScalingPolicy, seconds: int) -> tuple[ScalingState, Decision]:
    return story(policy, *[(float(second), seen(2, 2)) for second in range(seconds + 1)])


def test_an_idle_model_of_an_autoscaler_goes_to_zero_as_with_class_atheria() -> None:
    _, before = idle(HPA, 59)
    assert before.replicas == 2
    _, decision = idle(HPA, 60)
    assert (decision.replicas, decision.reason) == (0, ScalingReason.IDLE)


def test_keda_takes_the_last_pod_itself() -> None:
    _, decision = idle(KEDA, 300)
    assert (decision.replicas, decision.reason) == (2, ScalingReason.EXTERNAL)


def test_an_autoscaler_with_a_minimum_keeps_it() -> None:
    _, decision = idle(replace(HPA, min_replicas=1), 300)
    assert (decision.replicas, decision.reason) == (2, ScalingReason.EXTERNAL)


def test_an_autoscaler_that_raises_begins_the_idle_time_anew() -> None:
    state, _ = idle(HPA, 59)
    state, _ = decide(state, seen(3, 2), HPA, 59.5)
    _, decision = decide(state, seen(3, 3), HPA, 61)
    assert decision.replicas == 3


@given(st.integers(0, 8), st.integers(0, 8), st.floats(0, 1000))
def test_silence_takes_no_last_pod(requested: int, actual: int, later: float) -> None:
    state, _ = idle(HPA, 59)
    _, decision = decide(state, seen(requested, actual, is_silent=True), HPA, 59 + later)
    assert decision.replicas == requested


def test_a_switch_to_this_operator_goes_on_from_the_pods_there_are() -> None:
    alone = replace(KEDA, scaling_class=ScalingClass.ATHERIA)
    for policy in (HPA, KEDA, replace(KEDA, scaling_class=ScalingClass.EXTERNAL)):
        state, _ = story(policy, (0, seen(4, 4, 2)), (1, seen(4, 4, 2)))
        _, decision = decide(state, seen(4, 4, 2), alone, 2)
        assert decision.replicas == 4
