"""The tables: who is on the front of those that scale, and who dominates Atheria."""

from __future__ import annotations

from atheria_operator.simulation.compare import Comparison, Row
from atheria_operator.simulation.outcome import Point, front
from bench.autoscaling.report import Scenario, front_names, tables


def row(policy: str, gpu_seconds: float, late_share: float) -> Row:
    return Row(
        policy=policy,
        gpu_seconds=gpu_seconds,
        late_share=late_share,
        lost_share=0.0,
        p50_seconds=0.0,
        p95_seconds=1.0,
        p99_seconds=2.0,
        starts=3,
        wakes=1,
        cold_calls=4,
        scalings=5,
        flips=2,
        regret=1.5,
    )


COMPARISON = Comparison(
    rows=(
        row("Atheria", 100.0, 0.1),
        row("Knative KPA", 200.0, 0.2),
        row("HPA", 50.0, 0.4),
        row("fixed 2", 90.0, 0.1),
    ),
    bound=(Point(name="", gpu_seconds=40.0, late_share=0.0),),
)


def test_the_front_has_those_that_scale_and_that_nobody_who_scales_dominates() -> None:
    assert front_names(COMPARISON) == {"Atheria", "HPA"}


def test_equal_points_are_both_on_the_front() -> None:
    twins = [Point(name=name, gpu_seconds=1.0, late_share=0.5) for name in "ab"]
    assert {point.name for point in front(twins)} == {"a", "b"}


def test_the_verdict_names_fixed_numbers_too_and_compares_with_knative() -> None:
    scenario = Scenario(trace="code", start_seconds=30.0, first_replicas=0, comparison=COMPARISON)
    text = tables([scenario], usd_per_hour=3.6)
    assert "| code | 30 | 0 | 100, 10.0 | yes | fixed 2 | 200, 20.0 | 0.50 | 0.50 |" in text
    assert "| **Atheria** | 100 | 0.10 | 10.0 | 0.0, 1.0, 2.0 |" in text
    assert "| Knative KPA | 200 |" in text


def test_made_up_hours_have_a_verdict_and_no_table() -> None:
    scenario = Scenario(trace="synthetic-code", start_seconds=30.0, first_replicas=0, comparison=COMPARISON)
    text = tables([scenario], usd_per_hour=3.6)
    assert "| synthetic-code | 30 |" in text
    assert "###" not in text
