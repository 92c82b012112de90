"""The laws of the metrics and the bounds put on them, in short stories."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from atheria_operator.api.model import ScalingMetric, ScalingPolicy, ScheduledMinimum
from atheria_operator.domain.scaling.decide import LONGEST_GAP_SECONDS, decide
from atheria_operator.domain.scaling.decision import Decision, ScalingReason
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState

POLICY = ScalingPolicy(max_replicas=20, target_calls=8)


@dataclass
class Model:
    """A model whose decisions are carried out at once; pods are ready `start_seconds` later."""

    policy: ScalingPolicy = POLICY
    replicas: int = 1
    start_seconds: float = 0.0
    free_nodes: int = 1000
    now: float = 1000.0
    arrivals: float = 0.0
    born: list[float] = field(default_factory=list)
    state: ScalingState = field(default_factory=ScalingState)
    wall: datetime | None = None

    def __post_init__(self) -> None:
        self.born = [-1e9] * self.replicas

    @property
    def ready(self) -> int:
        placed = self.born[: self.free_nodes]
        return sum(self.now - born >= self.start_seconds for born in placed)

    def look(
        self, *, held: int = 0, in_flight: int = 0, per_second: float = 0.0, after: float = 1.0
    ) -> Decision:
        """Time passes, then the autoscaler looks."""
        self.now += after
        self.arrivals += per_second * after
        placed = self.born[: self.free_nodes]
        ages = [self.now - born for born in placed if self.now - born < self.start_seconds]
        observation = Observation(
            requested_replicas=self.replicas,
            actual_replicas=self.replicas,
            ready_replicas=self.ready,
            demand=Demand(
                held=held, in_flight=in_flight, arrivals_total=int(self.arrivals), is_complete=True
            ),
            starting_ages_seconds=tuple(ages),
            unschedulable_replicas=len(self.born) - len(placed),
            cold_start_seconds=self.start_seconds or None,
            wall_time=self.wall,
        )
        self.state, decision = decide(self.state, observation, self.policy, self.now)
        self.replicas = decision.replicas
        self.born = [*self.born[: self.replicas], *[self.now] * (self.replicas - len(self.born))]
        return decision

    def looks(self, seconds: int, **calls: float) -> Decision:
        """Each second the same."""
        decision = None
        for _ in range(seconds):
            decision = self.look(**calls)  # type: ignore[arg-type]
        assert decision is not None
        return decision


def test_steady_load_is_arrivals_times_measured_seconds_over_the_filled_target() -> None:
    # 10 a second of 4 s: 40 at work; 40 / 0.85 = 47.1, 40 + 1.2 x 6.3 = 47.6 places of 8 a pod.
    decision = Model(replicas=6).looks(300, in_flight=40, per_second=10)
    assert decision.replicas == 6
    assert decision.inputs["serviceSeconds"] == pytest.approx(4, rel=0.01)
    assert decision.inputs["arrivalsPerSecond"] == pytest.approx(10, rel=0.02)
    assert "10 calls/s" in decision.formula


def test_a_queue_of_a_cold_start_is_no_steady_load() -> None:
    model = Model(start_seconds=30.0)
    model.looks(200, in_flight=4, per_second=2)
    before = model.replicas
    # For half a minute 60 calls wait for the pods that are on their way.
    for _ in range(30):
        model.look(in_flight=60, per_second=2)
    assert before == 1
    assert model.replicas <= 4


def test_a_burst_is_seen_by_the_short_window() -> None:
    model = Model()
    model.looks(120, in_flight=2, per_second=1)
    assert model.replicas == 1
    model.looks(6, in_flight=40, per_second=20)
    # 20 a second, while the minute has but 3.
    assert model.replicas >= 4


def test_long_calls_are_not_left_without_their_pods() -> None:
    model = Model(replicas=3)
    model.looks(60, in_flight=20, per_second=1)
    # Nothing ends, nothing comes: the 20 are still at work.
    assert 3 <= model.looks(600, in_flight=20).replicas <= 4
    # Nor is the time of a call taken for endless, which would make a load of the next short one.
    assert (model.state.service.seconds or 0) < 200


def test_pods_of_a_slow_start_are_kept_longer_than_those_of_a_fast_one() -> None:
    def seconds_kept(start_seconds: float) -> int:
        model = Model(start_seconds=start_seconds)
        model.looks(300, in_flight=40, per_second=10)
        before = model.replicas
        model.look(in_flight=1, per_second=1)
        kept = 0
        while model.replicas == before:
            model.look(in_flight=1, per_second=1)
            kept += 1
        return kept

    assert seconds_kept(2.0) < 140
    assert 240 < seconds_kept(8.0) < 300


def test_pods_without_a_node_are_not_multiplied_and_it_is_said_and_it_does_not_flap() -> None:
    model = Model(start_seconds=5.0, free_nodes=2)
    # Three are asked for, and there is no node for the third.
    assert model.look(in_flight=13).replicas == 3
    said = [model.look(in_flight=100, per_second=10) for _ in range(100)]
    assert {decision.replicas for decision in said} == {3}
    assert said[0].reason is ScalingReason.NO_CAPACITY
    assert "1 pods have found no node" in said[0].message
    assert said[0].bound == "no node for more pods"
    # A node comes: more are asked for.
    model.free_nodes = 1000
    model.looks(10, in_flight=100, per_second=10)
    assert model.replicas > 3


def test_one_step_down_keeps_at_least_half() -> None:
    policy = replace(POLICY, scale_down_delay_seconds=0)
    model = Model(policy=policy, replicas=8)
    decision = model.look(in_flight=1)
    assert (decision.replicas, decision.bound) == (4, "maxScaleDownRate")
    assert [model.look(in_flight=1).replicas for _ in range(3)] == [2, 1, 1]


def test_one_step_up_is_bounded_by_the_ready_pods() -> None:
    model = Model(policy=replace(POLICY, max_scale_up_rate=2.0), replicas=2)
    decision = model.look(in_flight=100)
    assert (decision.replicas, decision.bound) == (4, "maxScaleUpRate")


def test_nothing_is_taken_away_while_calls_wait() -> None:
    model = Model(replicas=4)
    model.looks(120, in_flight=2, per_second=2)
    model.replicas, model.born = 2, model.born[:2]
    model.state = replace(model.state, decided=2)
    decision = model.looks(400, in_flight=17, per_second=0)
    assert decision.replicas >= 2


def test_concurrency_is_knatives_law_with_its_panic() -> None:
    policy = ScalingPolicy(
        metric=ScalingMetric.CONCURRENCY,
        max_replicas=20,
        target_calls=10,
        target_utilization=0.7,
        scale_down_delay_seconds=0,
    )
    model = Model(policy=policy)
    # ceil(20 / 7)
    assert model.looks(120, in_flight=20, per_second=1).replicas == 3
    # 6 s at 100: the short mean needs 15 pods, at least twice the 3 that are ready.
    panic = model.looks(7, in_flight=100, per_second=1)
    assert panic.replicas > 6
    assert "panic" in panic.formula
    highest = model.replicas
    # Nothing is taken away for a stable window, then the mean counts again.
    assert model.looks(55, in_flight=7, per_second=1).replicas == highest
    assert model.looks(80, in_flight=7, per_second=1).replicas == 1


def test_requests_per_second_need_no_measured_time() -> None:
    policy = ScalingPolicy(
        metric=ScalingMetric.REQUESTS_PER_SECOND, max_replicas=20, target_calls=10, target_utilization=1.0
    )
    model = Model(policy=policy)
    assert model.looks(100, in_flight=3, per_second=35).replicas == 4


def test_latency_multiplies_the_ready_pods_by_how_far_it_is_off() -> None:
    policy = ScalingPolicy(
        metric=ScalingMetric.LATENCY, max_replicas=20, target_calls=4, target_latency_seconds=2.0
    )
    model = Model(policy=policy, replicas=4)
    # 10 a second and 30 in the system: 3 s a call, 1.6 s of it work (16 at work at a time).
    model.looks(70, in_flight=30, per_second=10)
    assert model.replicas > 4
    calm = Model(policy=replace(policy, scale_down_delay_seconds=5), replicas=4)
    # 0.5 s a call.
    assert calm.looks(120, in_flight=5, per_second=10).replicas == 1


def test_a_latency_that_no_number_of_pods_can_mend_does_not_go_to_the_maximum() -> None:
    policy = ScalingPolicy(
        metric=ScalingMetric.LATENCY, max_replicas=20, target_calls=8, target_latency_seconds=0.5
    )
    decision = Model(policy=policy).looks(300, in_flight=4, per_second=1)
    assert decision.replicas == 1
    assert "no number of pods mends" in decision.formula


def test_a_scheduled_minimum_starts_pods_without_a_call_and_lets_them_go_after() -> None:
    window = ScheduledMinimum(min_replicas=2, start_minute=8 * 60, end_minute=18 * 60)
    model = Model(policy=ScalingPolicy(max_replicas=3, schedule=(window,)), replicas=0)
    model.wall = datetime(2026, 1, 16, 7, 59, tzinfo=UTC)
    assert model.look().replicas == 0
    model.wall = datetime(2026, 1, 16, 8, 0, tzinfo=UTC)
    assert model.look().replicas == 2
    model.looks(1000)
    assert model.replicas == 2
    model.wall = datetime(2026, 1, 16, 18, 0, tzinfo=UTC)
    assert model.looks(2).replicas == 0


@pytest.mark.parametrize("jump", [-500.0, LONGEST_GAP_SECONDS + 1, 1e6])
def test_a_jump_of_the_clock_takes_nothing_away(jump: float) -> None:
    model = Model(policy=replace(POLICY, idle_timeout_seconds=70, scale_down_delay_seconds=10), replicas=5)
    model.looks(9, in_flight=1)
    assert model.look(in_flight=1, after=jump).replicas == 5
    assert model.look(after=jump).replicas == 5


def test_what_is_known_of_a_calls_time_survives_a_wake() -> None:
    model = Model()
    model.looks(100, in_flight=4, per_second=2)
    known = model.state.service.seconds
    model.replicas, model.born = 2, [*model.born, -1e9]
    decision = model.look(in_flight=4, per_second=2)
    assert known is not None
    assert decision.inputs["serviceSeconds"] == pytest.approx(known, rel=0.05)
