"""What a worker made of the model, as gauges: weights, compiled code, quality. Part of `metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from atheria_contract import names
from atheria_server.metric_series import LABEL_MODEL


class PreparedModel:
    """The gauges; they have no value before the first worker is loaded."""

    def __init__(self, registry: CollectorRegistry, model: str) -> None:
        self._model = model

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, (LABEL_MODEL, *labels), registry=registry)

        self._weights = gauge(
            names.METRIC_WEIGHT_BYTES,
            "Bytes of the weights in the newest worker, counted, by precision policy.",
            "precision",
        )
        self._compile = gauge(
            names.METRIC_COMPILE_SECONDS, "Compiling before the first call, in the newest worker.", "mode"
        )
        self._saved = gauge(
            names.METRIC_COMPILE_SAVED_SECONDS,
            "Compiling that the newest worker did not do because another one had done it.",
        )
        self._cache = gauge(
            names.METRIC_COMPILE_CACHE, "1 for what the newest worker found in the compile cache.", "result"
        )
        self._accepted = gauge(
            names.METRIC_QUALITY_ACCEPTED,
            "1 if what is served passed its quality gate or is the baseline itself, 0 if it did not or was not judged.",
        )
        self._values = gauge(
            names.METRIC_QUALITY_VALUE, "Metric of the served variant against its baseline.", "metric"
        )
        self._limits = gauge(names.METRIC_QUALITY_LIMIT, "Limit of the same metric.", "metric")

    def update(self, report: Mapping[str, Any]) -> None:
        """See `optimize.report`; an empty report of a model that is served as it is written changes nothing."""
        if not report:
            return
        for one in (self._weights, self._compile, self._cache, self._values, self._limits):
            one.clear()
        if (bytes_ := report.get("weight_bytes")) is not None:
            self._weights.labels(self._model, report["precision"]["policy"]).set(bytes_)
        compiled = report["compile"]
        self._compile.labels(self._model, compiled["mode"]).set(compiled["seconds"])
        self._cache.labels(self._model, compiled["cache"]).set(1)
        self._saved.labels(self._model).set(compiled["saved_seconds"])
        quality = report["quality"]
        self._accepted.labels(self._model).set(1 if quality["passed"] else 0)
        for measured in quality["measurements"]:
            self._values.labels(self._model, measured["name"]).set(measured["value"])
            if measured["limit"] is not None:
                self._limits.labels(self._model, measured["name"]).set(measured["limit"])
