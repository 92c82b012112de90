"""A canary whose measured quality is worse than the stable revision's, by more than its gate tolerates, is not promoted."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.api.model import AnalysisPolicy, RolloutPolicy, Strategy
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.decide import decide_rollout
from atheria_operator.domain.rollout.facts import Outside, observe_revisions
from atheria_operator.domain.rollout.quality import Metric, QualityFigures, compare_quality, read_quality
from atheria_operator.domain.rollout.state import (
    RevisionFacts,
    RolloutDecision,
    RolloutObservation,
    RolloutState,
)
from atheria_operator.domain.status.report import read_report

NOW = "2026-01-01T00:00:00Z"
GOOD = CallFigures(calls=100, latency={0.1: 100})
FP32 = QualityFigures(is_baseline=True)


def measured(**values: tuple[float, float | None]) -> QualityFigures:
    """(value, limit) by name; F is an agreement, all others are errors."""
    metrics = {
        name: Metric(value=value, limit=limit, is_higher_better=name.startswith("F"))
        for name, (value, limit) in values.items()
    }
    return QualityFigures(metrics=metrics)


def step(
    candidate: QualityFigures | None, stable: QualityFigures | None, command: str = "", **analysis: Any
) -> RolloutDecision:
    policy = RolloutPolicy(
        strategy=Strategy.CANARY,
        steps=(10, 100),
        step_seconds=0,
        analysis=AnalysisPolicy(min_calls=10, **analysis),
    )
    state = RolloutState(active="a", since=NOW)
    for _ in range(2):
        revisions = {
            name: RevisionFacts(
                exists=True, asked_pods=1, ready_pods=1, present_pods=1, calls=GOOD, quality=quality
            )
            for name, quality in (("a", stable), ("b", candidate))
        }
        seen = RolloutObservation(desired="b", revisions=revisions, command_text=command)
        state, decision = decide_rollout(state, seen, policy, NOW)
    return decision


WORSE = [
    (measured(C4=(0.09, 0.05)), measured(C4=(0.03, 0.05)), "C4 is 0.09 against 0.03", "0.05 worse"),
    # The candidate's own gate is looser: the smaller tolerance counts.
    (measured(C4=(0.09, 0.5)), measured(C4=(0.03, 0.05)), "C4 is 0.09 against 0.03", "0.05 worse"),
    (measured(F_8=(0.95, 0.5)), measured(F_8=(0.999, 0.98)), "F_8 is 0.95 against 0.999", "0.02 worse"),
    # Served without proof, beside the model as it is.
    (measured(F_8=(0.9, 0.98)), FP32, "F_8 is 0.9 against 1", "0.02 worse"),
    (measured(kl=(0.2, 0.05)), FP32, "kl is 0.2 against 0", "0.05 worse"),
]


@pytest.mark.parametrize(("candidate", "stable", "numbers", "allowed"), WORSE)
def test_a_canary_that_lost_quality_is_given_up_with_the_numbers(
    candidate: QualityFigures, stable: QualityFigures, numbers: str, allowed: str
) -> None:
    decision = step(candidate, stable)
    assert (decision.reason, decision.weights) == ("RolledBack", {"a": 100})
    for words in (numbers, f"allowed is {allowed}", "maxQualityLoss", "promote"):
        assert words in decision.message
    assert step(candidate, stable, max_quality_loss=1000.0).weights == {"b": 100}
    assert step(candidate, stable, command="promote").weights == {"b": 100}


@pytest.mark.parametrize(
    ("candidate", "stable"),
    [
        (measured(C4=(0.05, 0.05)), FP32),
        (measured(C4=(0.08, 0.05)), measured(C4=(0.03, 0.05))),
        (measured(F_8=(0.98, 0.98)), FP32),
        (measured(C4=(9.0, None)), measured(C4=(0.0, None))),
        (measured(Fsnr=(31.0, 30.0)), measured(Fsnr=(60.0, 30.0))),
        (measured(other=(9.0, 0.1)), measured(C4=(0.0, 0.1))),
        (FP32, measured(C4=(0.01, 0.05))),
        (None, measured(C4=(0.01, 0.05))),
        (measured(C4=(9.0, 0.05)), None),
    ],
    ids=[
        "all that the gate allows",
        "exactly so much worse",
        "agreement at its limit",
        "only measured",
        "no agreement",
        "not measured by both",
        "back to the model as it is",
        "not told",
        "stable not told",
    ],
)
def test_what_is_within_the_tolerance_or_cannot_be_compared_is_promoted(
    candidate: QualityFigures | None, stable: QualityFigures | None
) -> None:
    assert step(candidate, stable).weights == {"b": 100}


def test_the_numbers_of_a_comparison_that_went_well_are_told_too() -> None:
    message = step(measured(C4=(0.02, 0.05)), measured(C4=(0.01, 0.05))).message
    assert "C4 is 0.02 against 0.01 of the stable revision (allowed is 0.05 worse)" in message


def test_an_error_that_the_gate_cannot_tell_from_its_limit_counts_as_the_limit() -> None:
    noisy = QualityFigures(
        metrics={"C4": Metric(value=0.06, limit=0.05, is_higher_better=False, is_within_noise=True)}
    )
    assert step(noisy, FP32).weights == {"b": 100}
    assert step(measured(C4=(0.06, 0.05)), FP32).weights == {"a": 100}


def test_figures_are_read_from_a_pods_own_report() -> None:
    def entry(name: str, better: str, outcome: str) -> dict[str, Any]:
        return {"name": name, "value": 0.9, "limit": 0.5, "better": better, "outcome": outcome}

    report = {
        "quality": {
            "passed": True,
            "reason": "Passed",
            "measurements": [
                entry("F_8", "higher", "passed"),
                entry("C4", "lower", "within noise"),
                entry("odd", "sideways", "?"),
            ],
        }
    }
    part = read_report(report, revision="b", pod="p")["quality"]
    figures = read_quality(part)
    assert figures == QualityFigures(
        metrics={
            "F_8": Metric(value=0.9, limit=0.5, is_higher_better=True),
            "C4": Metric(value=0.9, limit=0.5, is_higher_better=False, is_within_noise=True),
        }
    )
    assert read_quality({}) is None
    assert read_quality({"reason": "Baseline", "passed": True}) == FP32


def test_the_newest_ready_pod_that_has_told_speaks_for_its_revision() -> None:
    def pod(name: str, created: int, truth: str = "True") -> dict[str, Any]:
        return {
            "metadata": {
                "name": name,
                "uid": name,
                "labels": {names.LABEL_REVISION: "b"},
                "creationTimestamp": f"2026-01-01T00:00:{created:02d}Z",
            },
            "status": {"conditions": [{"type": "Ready", "status": truth}]},
        }

    def report(value: float) -> dict[str, Any]:
        return {"quality": {"metrics": [{"name": "C4", "value": value, "limit": 0.05, "better": "lower"}]}}

    deployment = {
        "kind": "Deployment",
        "metadata": {
            "name": "qca-b",
            "labels": {names.LABEL_REVISION: "b"},
            "ownerReferences": [{"uid": "u"}],
        },
    }
    told = {"old/": report(0.01), "new/": report(0.02), "starting/": report(0.03)}

    def value(reports: dict[str, Any]) -> float | None:
        pods = (pod("old", 1), pod("new", 2), pod("silent", 3), pod("starting", 4, "False"))
        observed = Observed(children={("Deployment", "qca-b"): deployment}, pods=pods)
        quality = observe_revisions(observed, "u", Outside(now=NOW, reports=reports))["qca-b"].quality
        return None if quality is None else quality.metrics["C4"].value

    assert value(told) == 0.02
    assert value({"old/": told["old/"]}) == 0.01
    assert value({"starting/": told["starting/"]}) is None
    # What could not be had is known as an empty report.
    assert value({"silent/": {}}) is None


values = st.floats(0, 2, allow_nan=False)
metrics = st.dictionaries(
    st.sampled_from(["F_8", "F_16", "C4", "S", "error:y"]),
    st.tuples(values, st.none() | st.floats(0, 1)),
    max_size=5,
).map(lambda given: measured(**given))
losses = st.floats(0, 10)


@given(metrics, losses)
def test_nothing_is_worse_than_itself(figures: QualityFigures, loss: float) -> None:
    assert not compare_quality(figures, figures, loss).is_worse


@given(metrics, metrics, losses, losses)
def test_allowing_more_refuses_no_more(
    one: QualityFigures, other: QualityFigures, loss: float, more: float
) -> None:
    if not compare_quality(one, other, loss).is_worse:
        assert not compare_quality(one, other, loss + more).is_worse


@given(metrics, metrics, losses, st.floats(0, 1), st.data())
def test_a_better_candidate_is_refused_no_sooner(
    one: QualityFigures, other: QualityFigures, loss: float, by: float, data: st.DataObject
) -> None:
    assume(one.metrics)
    name = data.draw(st.sampled_from(sorted(one.metrics)))
    was = one.metrics[name]
    value = was.value + by if was.is_higher_better else was.value - by
    better = QualityFigures(
        metrics={
            **one.metrics,
            name: Metric(value=value, limit=was.limit, is_higher_better=was.is_higher_better),
        }
    )
    if not compare_quality(one, other, loss).is_worse:
        assert not compare_quality(better, other, loss).is_worse


@given(metrics)
def test_what_its_gate_accepts_may_replace_the_model_as_it_is(figures: QualityFigures) -> None:
    accepted = QualityFigures(
        metrics={
            name: one
            for name, one in figures.metrics.items()
            if one.limit is None
            or (one.value >= one.limit if one.is_higher_better else one.value <= one.limit)
        }
    )
    assert not compare_quality(accepted, FP32, 1.0).is_worse


@given(metrics, metrics, losses, st.randoms(use_true_random=False))
def test_the_order_of_the_metrics_has_no_part_in_it(
    one: QualityFigures, other: QualityFigures, loss: float, order: random.Random
) -> None:
    names = list(one.metrics)
    order.shuffle(names)
    shuffled = QualityFigures(metrics={name: one.metrics[name] for name in names})
    assert compare_quality(shuffled, other, loss) == compare_quality(one, other, loss)


@given(metrics, metrics, losses)
def test_a_candidate_that_is_worse_never_takes_a_call(
    one: QualityFigures, other: QualityFigures, loss: float
) -> None:
    weights = step(one, other, max_quality_loss=loss).weights
    assert weights == ({"a": 100} if compare_quality(one, other, loss).is_worse else {"b": 100})
