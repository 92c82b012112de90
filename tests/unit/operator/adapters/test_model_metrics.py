"""The series of what the autoscaler sees and of devices: present, replaced, gone with the model."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from atheria_operator.adapters.model_metrics import ModelMetrics
from atheria_operator.api.model import ModelKey

QCA = ModelKey(namespace="demo", name="qca")
LABELS = {"namespace": "demo", "model": "qca"}


def _shown() -> tuple[ModelMetrics, CollectorRegistry]:
    metrics, registry = ModelMetrics(), CollectorRegistry()
    registry.register(metrics)
    return metrics, registry


def test_what_the_autoscaler_saw_is_shown_by_metric_and_label() -> None:
    metrics, registry = _shown()
    metrics.decided(QCA, {"held": 2.0, "arrivalsPerSecond": 0.5, "serviceSeconds": 0.1, "replicas": 9.0})
    assert registry.get_sample_value("atheria_autoscaler_calls", {**LABELS, "state": "held"}) == 2.0
    window = {**LABELS, "window": "stable"}
    assert registry.get_sample_value("atheria_autoscaler_arrivals_per_second", window) == 0.5
    assert registry.get_sample_value("atheria_autoscaler_service_seconds", LABELS) == 0.1


def test_nothing_to_decide_leaves_no_series() -> None:
    metrics, registry = _shown()
    metrics.decided(QCA, {"held": 2.0})
    metrics.decided(QCA, {})
    assert [sample for family in registry.collect() for sample in family.samples] == []


def test_another_profile_takes_the_place_of_the_first_and_a_model_that_is_gone_holds_nothing() -> None:
    metrics, registry = _shown()
    metrics.holds(QCA, "nvidia-l4", 2)
    metrics.holds(QCA, "nvidia-h100", 1)
    name = "atheria_model_devices"
    assert registry.get_sample_value(name, {**LABELS, "profile": "nvidia-l4"}) is None
    assert registry.get_sample_value(name, {**LABELS, "profile": "nvidia-h100"}) == 1.0
    metrics.forget(QCA)
    assert registry.get_sample_value(name, {**LABELS, "profile": "nvidia-h100"}) is None
