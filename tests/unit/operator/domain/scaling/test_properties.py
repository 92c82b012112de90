"""What holds for the autoscaler whatever the calls, the gateways and the clock do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_operator.api.model import ScalingMetric, ScalingPolicy
from atheria_operator.domain.scaling.decide import LONGEST_GAP_SECONDS, decide
from atheria_operator.domain.scaling.decision import Decision
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.keep_alive import idle_seconds, worth_seconds
from atheria_operator.domain.scaling.learnt import LEAST_SECONDS, MOST_SECONDS, restored
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Time passes and the world is as it says."""

    seconds: float
    held: int
    in_flight: int
    arrived: int
    complete: bool = True
    silent: bool = False
    ready_share: float = 1.0


POLICIES = st.builds(
    lambda low, more, metric, target, utilization, idle, delay, weighs: ScalingPolicy(
        min_replicas=low,
        max_replicas=max(1, low + more),
        metric=metric,
        target_calls=target,
        target_utilization=utilization,
        idle_timeout_seconds=idle,
        scale_down_delay_seconds=delay,
        weighs_cold_starts=weighs,
    ),
    st.integers(0, 3),
    st.integers(0, 20),
    st.sampled_from(list(ScalingMetric)),
    st.integers(1, 10),
    st.sampled_from([0.5, 0.85, 1.0]),
    st.floats(1, 400),
    st.floats(1, 120),
    st.booleans(),
)
STEPS = st.builds(
    Step,
    seconds=st.floats(0.05, 20),
    held=st.integers(0, 30),
    in_flight=st.integers(0, 60),
    arrived=st.integers(0, 60),
    complete=st.booleans() | st.just(True),
    silent=st.sampled_from([False, False, False, True]),
    ready_share=st.sampled_from([0.0, 0.5, 1.0, 1.0]),
)
COLD_STARTS = st.none() | st.floats(0, 200)
SETTINGS = settings(max_examples=80, deadline=None)


@dataclass
class Run:
    """A model whose decisions are carried out at once."""

    policy: ScalingPolicy
    cold_start: float | None
    replicas: int
    now: float = 1000.0
    arrivals: int = 0
    state: ScalingState = field(default_factory=ScalingState)

    def observe(self, step: Step) -> Observation:
        ready = math.floor(self.replicas * step.ready_share)
        said = Demand(
            held=step.held,
            in_flight=step.in_flight,
            arrivals_total=self.arrivals + step.arrived,
            is_complete=step.complete,
        )
        return Observation(
            requested_replicas=self.replicas,
            actual_replicas=self.replicas,
            ready_replicas=ready,
            demand=None if step.silent else said,
            starting_ages_seconds=(1.0,) * (self.replicas - ready),
            cold_start_seconds=self.cold_start,
        )

    def take(self, step: Step) -> Decision:
        self.now += step.seconds
        observation = self.observe(step)
        self.arrivals += step.arrived
        self.state, decision = decide(self.state, observation, self.policy, self.now)
        self.replicas = decision.replicas
        return decision


def run_of(policy: ScalingPolicy, cold_start: float | None, replicas: int, steps: list[Step]) -> Run:
    run = Run(policy=policy, cold_start=cold_start, replicas=policy.clamp(replicas))
    for step in steps:
        run.take(step)
    return run


HISTORIES = st.builds(run_of, POLICIES, COLD_STARTS, st.integers(0, 20), st.lists(STEPS, max_size=25))


@SETTINGS
@given(run=HISTORIES, steps=st.lists(STEPS, min_size=1, max_size=15))
def test_bounds_hold_and_silence_takes_nothing_away(run: Run, steps: list[Step]) -> None:
    for step in steps:
        before = run.replicas
        decision = run.take(step)
        assert run.policy.min_replicas <= decision.replicas <= run.policy.max_replicas
        if step.silent or not step.complete:
            assert decision.replicas >= before
        if not step.silent and step.held + step.in_flight:
            assert decision.replicas >= 1


@SETTINGS
@given(run=HISTORIES, step=STEPS)
def test_nothing_is_taken_away_while_calls_wait_for_warm_pods(run: Run, step: Step) -> None:
    before = run.replicas
    waiting = replace(step, in_flight=int(before * run.policy.target_calls) + 1 + step.in_flight)
    assert run.take(waiting).replicas >= before


@SETTINGS
@given(run=HISTORIES, step=STEPS, more=st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)))
def test_more_demand_never_gives_fewer_pods(run: Run, step: Step, more: tuple[int, int, int]) -> None:
    held, in_flight, arrived = more
    if run.policy.metric is ScalingMetric.LATENCY:
        # More calls that come and go at once are a lower mean, and calls in flight that never came are some that did not end.
        arrived = held + in_flight
    now = run.now + step.seconds
    higher = replace(
        step, held=step.held + held, in_flight=step.in_flight + in_flight, arrived=step.arrived + arrived
    )
    fewer = decide(run.state, run.observe(step), run.policy, now)[1].replicas
    assert decide(run.state, run.observe(higher), run.policy, now)[1].replicas >= fewer


@SETTINGS
@given(run=HISTORIES)
def test_without_calls_all_pods_are_gone_within_the_keep_alive(run: Run) -> None:
    policy = run.policy
    longest = idle_seconds(policy, worth_seconds(policy, run.cold_start, None))
    quiet = Step(seconds=1.0, held=0, in_flight=0, arrived=0)
    # One look to begin the idle time, and one to end it.
    for _ in range(math.ceil(longest) + 2):
        run.take(quiet)
    assert run.replicas == policy.min_replicas


@SETTINGS
@given(run=HISTORIES, step=STEPS, requested=st.integers(0, 25))
def test_a_restart_takes_nothing_away(run: Run, step: Step, requested: int) -> None:
    run.state = ScalingState()
    run.replicas = run.policy.clamp(requested)
    before = run.replicas
    assert run.take(step).replicas >= before


@SETTINGS
@given(run=HISTORIES, step=STEPS, jump=st.floats(-1e6, -0.1) | st.floats(LONGEST_GAP_SECONDS + 1, 1e9))
def test_a_jump_of_the_clock_takes_nothing_away(run: Run, step: Step, jump: float) -> None:
    run.take(step)
    before = run.replicas
    assert run.take(replace(step, seconds=jump)).replicas >= before


@SETTINGS
@given(run=HISTORIES, step=STEPS, others=st.integers(1, 5))
def test_what_somebody_else_raised_stays_for_a_whole_idle_time(run: Run, step: Step, others: int) -> None:
    raised = min(run.replicas + others, run.policy.max_replicas)
    run.replicas = raised
    quiet = replace(step, held=0, in_flight=0, arrived=0, complete=True, silent=False, seconds=0.5)
    if raised > run.policy.min_replicas:
        assert run.take(quiet).replicas >= min(1, raised)


STORED_SECONDS = st.none() | st.floats(LEAST_SECONDS, MOST_SECONDS) | st.floats()


@SETTINGS
@given(
    policy=POLICIES,
    cold_start=COLD_STARTS,
    replicas=st.integers(0, 20),
    seconds=STORED_SECONDS,
    silence=st.lists(STEPS, max_size=15),
    first=STEPS,
)
def test_a_restart_with_whatever_was_stored_takes_nothing_away_by_silence(
    policy: ScalingPolicy,
    cold_start: float | None,
    replicas: int,
    seconds: float | None,
    silence: list[Step],
    first: Step,
) -> None:
    """From the start of the operator until gateways have spoken, and at the first complete reports after that."""
    now = "2026-11-21T12:00:00Z"
    status = {
        "activeRevision": "qca-a",
        "serviceTime": {"revision": "qca-a", "seconds": seconds, "measuredAt": now},
    }
    run = Run(policy=policy, cold_start=cold_start, replicas=policy.clamp(replicas))
    run.state = ScalingState(service=restored(status, now))
    for step in silence:
        before = run.replicas
        assert run.take(replace(step, silent=step.silent or step.complete)).replicas >= before
    before = run.replicas
    assert run.take(first).replicas >= before


def test_what_an_incomplete_report_raised_is_not_lowered_by_the_first_complete_one() -> None:
    policy = ScalingPolicy(
        min_replicas=0, max_replicas=2, target_calls=1, target_utilization=0.5, scale_down_delay_seconds=1.0
    )
    run = run_of(
        policy,
        None,
        0,
        [
            Step(seconds=1.0, held=0, in_flight=0, arrived=0, silent=True),
            Step(seconds=9.0, held=0, in_flight=1, arrived=38, complete=False),
        ],
    )
    assert run.replicas == 2
    quiet = Step(seconds=1.0, held=0, in_flight=0, arrived=0)
    assert run.take(quiet).replicas == 2
    assert run.take(replace(quiet, seconds=1.5)).replicas < 2
