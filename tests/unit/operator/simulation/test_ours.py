"""Atheria's decision in the simulator: silence and restarts never lower, bounds hold, every call is answered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_operator.api.model import ScalingPolicy
from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.compare import compare
from atheria_operator.simulation.engine import Simulation
from atheria_operator.simulation.fixed import Fixed
from atheria_operator.simulation.ours import AtheriaPolicy
from atheria_operator.simulation.policy import Fleet
from atheria_operator.simulation.replay import GIVEN, alternatives
from atheria_operator.simulation.world import Fault, FaultKind, World

POLICY = ScalingPolicy(max_replicas=6, target_calls=2)
WORLD = World(slots_per_pod=2, start_seconds=5.0, tail_seconds=30.0)
STEADY = [Call(arrival_seconds=0.25 * index, service_seconds=1.0) for index in range(400)]


class Watched(AtheriaPolicy):
    """Keeps what was decided when."""

    decided: list[tuple[float, int, int]]

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        replicas = super().decide(fleet, now_seconds)
        if not hasattr(self, "decided"):
            self.decided = []
        self.decided.append((now_seconds, fleet.requested, replicas))
        return replicas


def test_gateways_that_fall_silent_lower_nothing() -> None:
    silence = tuple(
        Fault(seconds=40.0, kind=FaultKind.GATEWAY_SILENT, gateway=gateway, for_seconds=40.0)
        for gateway in range(WORLD.gateways)
    )
    # The calls end within the silence: what nobody reports is not known to have ended.
    found = [call for call in STEADY if call.arrival_seconds < 42.0]
    hasty = replace(POLICY, idle_timeout_seconds=1.0, scale_down_delay_seconds=1.0, stable_window_seconds=5.0)

    def lowered(faults: tuple[Fault, ...]) -> bool:
        watched = Watched(policy=hasty)
        Simulation(calls=found, world=replace(WORLD, tail_seconds=40.0, faults=faults), policy=watched).run()
        return any(after < before for now, before, after in watched.decided if 44.0 <= now < 80.0)

    assert lowered(())
    assert not lowered(silence)


def test_a_restart_lowers_nothing_at_once() -> None:
    faults = (Fault(seconds=50.5, kind=FaultKind.AUTOSCALER_RESTART),)
    watched = Watched(policy=POLICY)
    Simulation(calls=STEADY, world=replace(WORLD, faults=faults), policy=watched).run()
    first = next((before, after) for now, before, after in watched.decided if now > 50.5)
    assert first[1] >= first[0] > 0


def test_at_rest_it_looks_no_more_and_one_call_after_a_pause_is_no_call_a_second() -> None:
    pauses = [Call(arrival_seconds=moment, service_seconds=1.5) for moment in (0.0, 200.5)]
    hasty = replace(POLICY, idle_timeout_seconds=30.0, target_calls=1)

    watched = Watched(policy=hasty)
    outcome = Simulation(calls=pauses, world=WORLD, policy=watched).run()
    assert (outcome.wakes, outcome.lost) == (2, 0)
    assert max(after for now, _, after in watched.decided if now > 200.0) == 1


def test_a_wake_that_no_gateway_reports_ends_the_rest_too() -> None:
    silent = Fault(seconds=190.0, kind=FaultKind.GATEWAY_SILENT, for_seconds=60.0)
    calls = [Call(arrival_seconds=moment, service_seconds=1.0) for moment in (0.0, 200.5)]
    world = replace(WORLD, gateways=1, faults=(silent,), tail_seconds=300.0)
    watched = Watched(policy=replace(POLICY, idle_timeout_seconds=30.0))
    Simulation(calls=calls, world=world, policy=watched).run()
    assert watched.decided[-1][2] == 0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 200.0), st.floats(0.05, 10.0)), min_size=1, max_size=60),
    st.sampled_from([None, FaultKind.AUTOSCALER_RESTART, FaultKind.GATEWAY_SILENT]),
    st.floats(0.0, 200.0),
)
def test_every_call_is_answered_within_the_bounds(
    pairs: list[tuple[float, float]], kind: FaultKind | None, moment: float
) -> None:
    faults = () if kind is None else (Fault(seconds=moment, kind=kind, for_seconds=20.0),)
    watched = Watched(policy=POLICY)
    found = [Call(arrival_seconds=arrival, service_seconds=service) for arrival, service in sorted(pairs)]
    outcome = Simulation(calls=found, world=replace(WORLD, faults=faults), policy=watched).run()
    assert outcome.lost == 0
    assert len(outcome.waits_seconds) == len(found)
    assert all(0 <= after <= POLICY.max_replicas for _, _, after in watched.decided)


def test_alternatives_change_one_field_each_and_keep_what_was_given() -> None:
    found = alternatives(POLICY)
    assert found[GIVEN] == POLICY
    assert found["minReplicas 1"] == replace(POLICY, min_replicas=1)
    assert found["target 4"] == replace(POLICY, target_calls=4)
    assert len(set(map(repr, found.values()))) == len(found)


def test_a_comparison_names_who_dominates() -> None:
    found = compare(
        [STEADY],
        world=WORLD,
        policies=[lambda: Fixed(replicas=3), lambda: Fixed(replicas=5), lambda: Fixed(replicas=1)],
    )
    # Four calls in slots of two: three pods serve them without a wait, five cost more for nothing, one is too few.
    assert [row.late_share for row in found.rows][:2] == [0.0, 0.0]
    assert found.dominators("fixed 5") == ("fixed 3",)
    assert found.dominators("fixed 3") == ()
    assert found.rows[0].regret is not None
    assert found.rows[0].regret == pytest.approx(found.rows[0].gpu_seconds / found.bound[-1].gpu_seconds)
