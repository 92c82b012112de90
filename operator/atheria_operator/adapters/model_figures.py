"""Shows the newest figures of each model's status as metrics; part of `telemetry`.

A collector and not gauges: labels such as the reason of a condition change, and what no longer holds must vanish.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.spending import Spending, spend
from atheria_operator.domain.status.figures import StatusFigures

_MODEL = ("namespace", "model")


class ModelFigures(Collector):
    """What prometheus_client asks at each scrape."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._shown: dict[ModelKey, StatusFigures] = {}
        self._spent: dict[ModelKey, Spending] = {}

    def show(self, key: ModelKey, figures: StatusFigures) -> None:
        """From now on these."""
        self._shown[key] = figures
        if figures.pod_usd_per_hour is not None:
            seconds = dict(figures.pod_seconds)
            self._spent[key] = spend(self._spent.get(key), seconds, figures.pod_usd_per_hour)

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._shown.pop(key, None)
        self._spent.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        """All models' series."""
        phase = _gauge(names.METRIC_MODEL_PHASE, "1 for what the model does now", "phase")
        condition = _gauge(
            names.METRIC_MODEL_CONDITION,
            "1 for the present status and reason of each condition of the model",
            *("condition", "status", "reason"),
        )
        weight = _gauge(
            names.METRIC_REVISION_WEIGHT, "Share of the calls that a revision takes, percent", "revision"
        )
        start = _gauge(
            names.METRIC_COLD_START_SECONDS,
            "Seconds of the last start of a first pod by phase; total is from the pod's creation to ready",
            "phase",
        )
        started = _gauge(
            names.METRIC_COLD_START_TIMESTAMP, "When the last start of a first pod began, since the epoch"
        )
        hourly = _gauge(
            names.METRIC_COST_PER_HOUR, "Price of the model's present pods, USD for each hour at the profile's price"
        )  # fmt: skip
        cost = CounterMetricFamily(
            names.METRIC_COST.removesuffix("_total"),
            "What the model's pods have cost since the operator started, USD at the profile's price, by what they did",
            labels=(*_MODEL, "kind"),
        )
        per_1000 = _gauge(
            names.METRIC_COST_PER_1000,
            "USD for 1000 calls: reserved counts all that is paid, busy only seconds with calls",
            "kind",
        )
        for key, figures in self._shown.items():
            model = (key.namespace, key.name)
            if figures.phase:
                phase.add_metric((*model, figures.phase), 1)
            for one in figures.conditions:
                condition.add_metric((*model, one.type, one.status, one.reason), 1)
            for family, values in (
                (weight, figures.weights_percent),
                (start, figures.cold_start_seconds),
                (cost, tuple(self._spent[key].usd.items()) if key in self._spent else ()),
                (per_1000, figures.usd_per_1000_calls),
            ):
                for label, value in values:
                    family.add_metric((*model, label), value)
            if figures.cold_start_at_seconds is not None:
                started.add_metric(model, figures.cold_start_at_seconds)
            if figures.pod_usd_per_hour is not None:
                hourly.add_metric(model, figures.pod_usd_per_hour * figures.pods)
        yield from (phase, condition, weight, start, started, hourly, cost, per_1000)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=(*_MODEL, *labels))
