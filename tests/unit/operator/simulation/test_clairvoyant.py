"""The clairvoyant bound against plans computed by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.clairvoyant import clairvoyant_front, regret, zero_wait_gpu_seconds
from atheria_operator.simulation.outcome import Point


def calls(*pairs: tuple[float, float]) -> list[Call]:
    return [Call(arrival_seconds=arrival, service_seconds=service) for arrival, service in pairs]


@pytest.mark.parametrize(
    ("pairs", "slots", "start", "gpu_seconds"),
    [
        (((0.0, 5.0),), 1, 10.0, 15.0),
        (((0.0, 5.0), (1.0, 5.0)), 2, 10.0, 16.0),  # one pod, 0 to 6 s, and its start
        (((0.0, 5.0), (1.0, 5.0)), 1, 10.0, 30.0),  # 0 to 6 s, 1 to 5 s, and two starts
        (((0.0, 1.0), (9.0, 1.0)), 1, 10.0, 20.0),  # a gap of 8 s is bridged: 0 to 10 s
        (((0.0, 1.0), (12.0, 1.0)), 1, 10.0, 22.0),  # a gap of 11 s is not: twice 1 s and a start
    ],
)
def test_the_plan_without_waits_costs_what_it_costs_by_hand(
    pairs: tuple[tuple[float, float], ...], slots: int, start: float, gpu_seconds: float
) -> None:
    found = zero_wait_gpu_seconds(calls(*pairs), slots_per_pod=slots, start_seconds=start)
    assert found == pytest.approx(gpu_seconds)


def test_the_front_goes_from_nothing_served_to_nobody_late() -> None:
    # A lonely call far from the others is dear: 11 s for one call.
    found = clairvoyant_front(
        calls((0.0, 5.0), (1.0, 5.0), (2.0, 5.0), (100.0, 1.0)), slots_per_pod=3, start_seconds=10.0
    )
    assert [(point.gpu_seconds, point.late_share) for point in found] == [(17.0, 0.25), (28.0, 0.0)]


def test_regret_is_measured_at_the_same_lateness() -> None:
    bound = [
        Point(name="", gpu_seconds=10.0, late_share=0.2),
        Point(name="", gpu_seconds=30.0, late_share=0.0),
    ]
    assert regret(Point(name="", gpu_seconds=60.0, late_share=0.0), bound) == pytest.approx(2.0)
    assert regret(Point(name="", gpu_seconds=60.0, late_share=0.1), bound) == pytest.approx(3.0)
    assert regret(Point(name="", gpu_seconds=60.0, late_share=0.5), bound) == pytest.approx(6.0)
    assert regret(Point(name="", gpu_seconds=60.0, late_share=0.5), []) is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 300.0), st.floats(0.1, 30.0)), min_size=1, max_size=30),
    st.integers(1, 3),
)
def test_the_bound_pays_at_least_the_work_and_falls_with_lateness(
    pairs: list[tuple[float, float]], slots: int
) -> None:
    found = calls(*sorted(pairs))
    whole = zero_wait_gpu_seconds(found, slots_per_pod=slots, start_seconds=5.0)
    assert whole >= sum(call.service_seconds for call in found) / slots * (1 - 1e-9)
    front = clairvoyant_front(found, slots_per_pod=slots, start_seconds=5.0)
    assert front[-1].late_share == 0.0
    assert front[-1].gpu_seconds == pytest.approx(whole)
    assert all(
        first.gpu_seconds <= second.gpu_seconds and first.late_share >= second.late_share
        for first, second in itertools.pairwise(front)
    )
