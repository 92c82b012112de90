"""The series of models' figures: present, replaced, gone with the model."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from atheria_operator.adapters.telemetry import PrometheusTelemetry
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.status.figures import ConditionFigure, StatusFigures

QCA = ModelKey(namespace="demo", name="qca")


def _figures(phase: str, reason: str) -> StatusFigures:
    condition = ConditionFigure(type="Ready", status="False", reason=reason)
    return StatusFigures(phase=phase, conditions=(condition,))


def test_a_new_reason_takes_the_place_of_the_old_one() -> None:
    registry = CollectorRegistry()
    telemetry = PrometheusTelemetry(registry)
    telemetry.reported(QCA, _figures("Pulling", "Pulling"))
    telemetry.reported(QCA, _figures("Failed", "ImagePullFailed"))
    text = generate_latest(registry).decode()
    condition = 'condition="Ready",model="qca",namespace="demo",reason="ImagePullFailed",status="False"'
    assert f"atheria_model_condition{{{condition}}} 1.0" in text
    assert 'atheria_model_phase{model="qca",namespace="demo",phase="Failed"} 1.0' in text
    assert "Pulling" not in text


def test_money_is_counted_from_the_first_look_on() -> None:
    registry = CollectorRegistry()
    telemetry = PrometheusTelemetry(registry)
    for seconds in (100.0, 3700.0):
        figures = StatusFigures(
            phase="Serving", pods=2, pod_usd_per_hour=1.5, pod_seconds=(("idle", seconds),)
        )
        telemetry.reported(QCA, figures)
    text = generate_latest(registry).decode()
    assert 'atheria_model_cost_usd_total{kind="idle",model="qca",namespace="demo"} 1.5' in text
    assert 'atheria_model_cost_usd_per_hour{model="qca",namespace="demo"} 3.0' in text


def test_a_model_that_is_gone_has_no_series() -> None:
    registry = CollectorRegistry()
    telemetry = PrometheusTelemetry(registry)
    telemetry.reported(QCA, _figures("Serving", "Ready"))
    telemetry.forget(QCA)
    assert "qca" not in generate_latest(registry).decode()
