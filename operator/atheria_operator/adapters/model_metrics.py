"""What the autoscaler sees of each model, and the devices that its pods hold, as metrics; part of `telemetry`.

A collector and not gauges: what is no longer known must vanish, and thousands of models must not slow a round down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from atheria_contract import names
from atheria_operator.api.model import ModelKey

_INPUTS: Final = {
    "held": (names.METRIC_SCALING_CALLS, "held"),
    "inFlight": (names.METRIC_SCALING_CALLS, "in_flight"),
    "arrivalsPerSecond": (names.METRIC_SCALING_ARRIVALS, "stable"),
    "burstPerSecond": (names.METRIC_SCALING_ARRIVALS, "panic"),
    "serviceSeconds": (names.METRIC_SCALING_SERVICE_SECONDS, ""),
    "ready": (names.METRIC_SCALING_PODS, "ready"),
    "starting": (names.METRIC_SCALING_PODS, "starting"),
    "unschedulable": (names.METRIC_SCALING_PODS, "unschedulable"),
}
"""Metric and label value of each input of a decision that is shown."""


class ModelMetrics(Collector):
    """What prometheus_client asks at each scrape."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._inputs: dict[ModelKey, Mapping[str, float]] = {}
        self._devices: dict[ModelKey, tuple[str, int]] = {}

    def decided(self, key: ModelKey, inputs: Mapping[str, float]) -> None:
        """What the autoscaler saw, by the names of status.lastDecisions[].inputs; nothing while it has nothing to decide."""
        self._inputs[key] = inputs

    def holds(self, key: ModelKey, profile: str, devices: int) -> None:
        """Devices that the model's pods hold now, by the name of its hardware profile."""
        self._devices[key] = (profile, devices)

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._inputs.pop(key, None)
        self._devices.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """All models' series."""
        families = _families()
        for key, (profile, devices) in self._devices.items():
            families[names.METRIC_MODEL_DEVICES].add_metric((key.namespace, key.name, profile), devices)
        for key, inputs in self._inputs.items():
            for name in inputs.keys() & _INPUTS.keys():
                metric, label = _INPUTS[name]
                labels = (key.namespace, key.name, *([label] if label else ()))
                families[metric].add_metric(labels, inputs[name])
        return iter(families.values())


def _families() -> dict[str, GaugeMetricFamily]:
    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, text, labels=("namespace", "model", *labels))

    made = (
        gauge(
            names.METRIC_MODEL_DEVICES,
            "Devices (GPUs) that the model's pods hold; 0 on a profile without devices",
            "profile",
        ),
        gauge(
            names.METRIC_SCALING_CALLS,
            "Calls that the autoscaler counts with, held at gateways or in flight",
            "state",
        ),
        gauge(
            names.METRIC_SCALING_ARRIVALS,
            "Calls a second that the autoscaler counts with, over the stable and over the panic window",
            "window",
        ),
        gauge(names.METRIC_SCALING_SERVICE_SECONDS, "Measured time that a pod works on a call, seconds"),
        gauge(names.METRIC_SCALING_PODS, "Pods that the autoscaler counts with, by what they are", "state"),
    )
    return {family.name: family for family in made}
