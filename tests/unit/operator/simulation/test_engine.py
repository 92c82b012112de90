"""The simulated world, in small stories whose numbers are computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.engine import Simulation
from atheria_operator.simulation.outcome import Outcome
from atheria_operator.simulation.policy import Fleet, Sample
from atheria_operator.simulation.world import Fault, FaultKind, Queue, World

WORLD = World(
    slots_per_pod=1,
    start_seconds=10.0,
    start_spread=0.0,
    actuation_seconds=1.0,
    report_delay_seconds=0.0,
    gateways=1,
    tail_seconds=20.0,
)


@dataclass(slots=True, kw_only=True)
class Scripted:
    """Says what a function of the time says; keeps what it has seen."""

    wanted: Callable[[float], int]
    first_replicas: int = 0
    name: str = "scripted"
    tick_seconds: float = 1.0
    samples: list[Sample] = field(default_factory=list)
    fleets: list[Fleet] = field(default_factory=list)
    restarts: int = 0

    def see(self, sample: Sample) -> None:
        self.samples.append(sample)

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        self.fleets.append(fleet)
        return self.wanted(now_seconds)

    def wake(self, fleet: Fleet, now_seconds: float) -> int:
        return max(1, self.decide(fleet, now_seconds))

    def restart(self) -> None:
        self.restarts += 1


def calls(*pairs: tuple[float, float]) -> Sequence[Call]:
    return [Call(arrival_seconds=arrival, service_seconds=service) for arrival, service in pairs]


def run(policy: Scripted, found: Sequence[Call], world: World = WORLD) -> Outcome:
    return Simulation(calls=found, world=world, policy=policy).run()


def test_a_call_waits_for_the_slot_of_the_call_before_it() -> None:
    outcome = run(Scripted(wanted=lambda _: 1, first_replicas=1), calls((0.0, 5.0), (2.0, 4.0)))
    assert outcome.waits_seconds == (0.0, 3.0)
    # One pod, from 0 to the tail's end at 22 s.
    assert outcome.gpu_seconds == 22.0
    assert outcome.busy_slot_seconds == 9.0
    assert outcome.scalings == outcome.starts == 0


def test_the_first_call_at_zero_wakes_a_pod_and_waits_for_decision_and_start() -> None:
    outcome = run(Scripted(wanted=lambda now: int(now >= 3.5)), calls((3.5, 1.0)))
    # Asked for at once, created 1 s and ready 11 s later.
    assert outcome.waits_seconds == (11.0,)
    assert (outcome.wakes, outcome.cold_calls, outcome.starts) == (1, 1, 1)


def test_a_call_wakes_only_when_no_pod_is_asked_for() -> None:
    policy = Scripted(wanted=lambda now: int(now >= 2.5))
    outcome = run(policy, calls((2.5, 1.0), (2.7, 1.0)))
    assert outcome.wakes == 1
    # Asked for at 2.5 s, created at 3.5 s, ready at 13.5 s; the second call waits for the first one's slot.
    assert outcome.waits_seconds == (11.0, pytest.approx(11.8))


def test_a_pod_that_leaves_finishes_its_call_and_is_paid_until_then() -> None:
    outcome = run(Scripted(wanted=lambda _: 0, first_replicas=1), calls((0.0, 8.0)))
    assert outcome.waits_seconds == (0.0,)
    assert outcome.gpu_seconds == 8.0
    assert outcome.lost == 0


def test_of_too_many_pods_those_that_start_go_first() -> None:
    policy = Scripted(wanted=lambda now: 2 if now < 5 else 1, first_replicas=1)
    outcome = run(policy, calls((0.0, 1.0), (19.0, 1.0)))
    # The second pod lives from 2 s (decided at 1 s) to 6 s, the first one to the end at 39 s.
    assert outcome.gpu_seconds == 4.0 + 39.0
    assert outcome.flips == 1


def test_calls_beyond_patience_are_lost_and_late() -> None:
    world = World(slots_per_pod=1, start_spread=0.0, gateways=1, tail_seconds=0.0, patience_seconds=5.0)
    outcome = run(
        Scripted(wanted=lambda _: 1, first_replicas=1), calls((0.0, 8.0), (1.0, 1.0), (4.0, 1.0)), world
    )
    assert outcome.lost == 1
    assert outcome.waits_seconds == (0.0, 4.0)
    assert outcome.late_share(2.0) == pytest.approx(2 / 3)
    assert outcome.late_share(4.0) == pytest.approx(1 / 3)


def test_calls_that_nobody_ever_serves_are_lost_and_the_run_ends() -> None:
    class Deaf(Scripted):
        def wake(self, fleet: Fleet, now_seconds: float) -> int:
            return 0

    world = replace(WORLD, patience_seconds=5.0)
    outcome = run(Deaf(wanted=lambda _: 0), calls((0.0, 1.0), (1.0, 1.0)), world)
    assert outcome.lost == outcome.wakes == 2
    assert outcome.gpu_seconds == 0.0


def test_calls_queued_in_a_pod_stay_there_when_another_one_becomes_ready() -> None:
    found = calls((0.0, 20.0), (1.0, 5.0), (16.0, 1.0))
    policy = Scripted(wanted=lambda _: 2, first_replicas=1)
    # The second pod is decided at 1 s, created at 2 s and ready at 12 s.
    assert run(policy, found, replace(WORLD, queue=Queue.PODS)).waits_seconds == (0.0, 0.0, 19.0)
    assert run(policy, found, WORLD).waits_seconds == (0.0, 1.0, 11.0)


def test_a_crashed_pod_loses_its_calls_and_is_replaced() -> None:
    world = World(
        slots_per_pod=1,
        start_seconds=10.0,
        start_spread=0.0,
        gateways=1,
        tail_seconds=20.0,
        faults=(Fault(seconds=1.0, kind=FaultKind.POD_CRASH),),
    )
    outcome = run(Scripted(wanted=lambda _: 1, first_replicas=1), calls((0.0, 5.0), (2.0, 1.0)), world)
    assert outcome.lost == 1
    assert outcome.waits_seconds == (9.0,)
    assert outcome.starts == 1


def test_a_restart_reaches_the_policy_and_a_silent_gateway_is_not_seen() -> None:
    world = World(
        slots_per_pod=1,
        gateways=2,
        report_delay_seconds=0.0,
        tail_seconds=10.0,
        faults=(
            Fault(seconds=2.0, kind=FaultKind.AUTOSCALER_RESTART),
            Fault(seconds=3.5, kind=FaultKind.GATEWAY_SILENT, gateway=1, for_seconds=2.0),
        ),
    )
    policy = Scripted(wanted=lambda _: 1, first_replicas=1)
    run(policy, calls((0.0, 1.0)), world)
    assert policy.restarts == 1
    silent = {sample.seconds for sample in policy.samples if sample.gateways[1] is None}
    assert silent == {4.0, 5.0}
    assert all(sample.gateways[0] is not None for sample in policy.samples)


def test_samples_carry_the_mean_of_the_calls_since_the_last_one() -> None:
    policy = Scripted(wanted=lambda _: 1, first_replicas=1)
    run(policy, calls((0.0, 10.0), (1.25, 1.0)))
    by_second = {sample.seconds: sample for sample in policy.samples}
    assert by_second[1.0].mean_calls == pytest.approx(1.0)
    assert by_second[2.0].mean_calls == pytest.approx(1.75)
    assert by_second[2.0].calls == 2
    assert by_second[2.0].arrivals_total == 2


def test_fleets_tell_the_ages_of_starts_and_the_last_start() -> None:
    policy = Scripted(wanted=lambda _: 1)
    run(policy, calls((0.0, 1.0), (20.0, 1.0)))
    starting = [fleet for fleet in policy.fleets if fleet.starting_ages_seconds]
    assert starting[0].starting_ages_seconds == (0.0,)
    assert policy.fleets[0].last_start_seconds is None
    assert policy.fleets[-1].last_start_seconds == 10.0


def test_equal_seeds_give_equal_outcomes_and_others_differ() -> None:
    world = World(slots_per_pod=1, start_seconds=10.0, start_spread=0.5, gateways=1)
    found = calls((0.0, 1.0))
    outcomes = [
        Simulation(calls=found, world=world, policy=Scripted(wanted=lambda _: 1), seed=seed).run()
        for seed in (1, 1, 2)
    ]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].waits_seconds != outcomes[2].waits_seconds


def test_a_world_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="slots_per_pod is 0; allowed: from 1"):
        World(slots_per_pod=0)
    with pytest.raises(ValueError, match=r"start_spread is 1\.0; allowed"):
        World(start_spread=1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 50.0), st.floats(0.01, 20.0)), min_size=1, max_size=40),
    st.lists(st.integers(0, 4), min_size=1, max_size=8),
    st.sampled_from([None, FaultKind.POD_CRASH, FaultKind.AUTOSCALER_RESTART]),
    st.sampled_from(Queue),
)
def test_no_call_vanishes_and_pods_are_paid_for_what_they_do(
    pairs: list[tuple[float, float]], script: list[int], kind: FaultKind | None, queue: Queue
) -> None:
    faults = () if kind is None else (Fault(seconds=7.0, kind=kind), Fault(seconds=21.0, kind=kind))
    world = World(
        slots_per_pod=2, queue=queue, start_seconds=3.0, gateways=2, tail_seconds=5.0, faults=faults
    )
    policy = Scripted(wanted=lambda now: max(1, script[int(now) % len(script)]), first_replicas=1)
    found = calls(*sorted(pairs))
    outcome = run(policy, found, world)
    assert len(outcome.waits_seconds) + outcome.lost == len(found)
    assert (
        outcome.gpu_seconds * world.slots_per_pod >= sum(call.service_seconds for call in found) * (1 - 1e-9)
        or outcome.lost
    )
    if kind is not FaultKind.POD_CRASH:
        assert outcome.lost == 0


def test_a_pod_that_was_let_go_is_paid_for_until_its_end_and_for_its_call_if_that_takes_longer() -> None:
    world = replace(WORLD, end_seconds=3.0)

    def outcome_of(service_seconds: float) -> Outcome:
        # Let go at 2 s: decided at 1 s.
        return run(Scripted(wanted=lambda _: 0, first_replicas=1), calls((0.0, service_seconds)), world)

    assert outcome_of(0.5).gpu_seconds == 5.0
    assert outcome_of(8.0).gpu_seconds == 8.0
    assert outcome_of(0.5).requested_seconds == 1.0


def test_the_pods_asked_for_are_summed_over_the_time() -> None:
    outcome = run(Scripted(wanted=lambda now: 3 if now < 11 else 1), calls((0.0, 1.0)))
    # Three from the first call to 11 s, one until the end at 20 s.
    assert outcome.requested_seconds == 33.0 + 9.0


def test_measured_starts_come_in_their_order_and_later_ones_are_drawn() -> None:
    world = replace(WORLD, starts_seconds=(4.0, 6.0))
    outcome = run(Scripted(wanted=lambda _: 3), calls((0.0, 0.5), (0.0, 2.0), (0.0, 1.0)), world)
    # All three are created at 1 s and become ready at 5 s, 7 s and 11 s; the first is free again at 5.5 s.
    assert outcome.waits_seconds == (5.0, 5.5, 7.0)
