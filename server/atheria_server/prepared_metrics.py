"""What a worker made of the model, as gauges: weights, compiled code, quality, the cache of a text model, and what a kept evaluation
says its options are worth. Part of `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge

from atheria_contract import names
from atheria_server.core.optimization_metrics import LOSS, SAVED_BYTES, SPEED_UP, kept_figures, kept_loss
from atheria_server.metric_series import LABEL_MODEL

_CACHE: Final = {
    "agreement": (
        names.METRIC_KV_CACHE_AGREEMENT,
        "Part of the likeliest tokens that the compressed key-value cache left as they are, measured at start.",
    ),
    "least_agreement": (
        names.METRIC_KV_CACHE_LEAST_AGREEMENT,
        "Part of the likeliest tokens that has to stay the same; below it the cache steps back.",
    ),
    "divergence": (
        names.METRIC_KV_CACHE_DIVERGENCE,
        "Mean divergence of the answers with the compressed key-value cache, in nats per token, measured at start.",
    ),
    "most_divergence": (
        names.METRIC_KV_CACHE_MOST_DIVERGENCE,
        "Divergence that is allowed, in nats per token; above it the cache steps back.",
    ),
    "stepped_back": (
        names.METRIC_KV_CACHE_STEPPED_BACK,
        "1 if the key-value cache is kept more exactly than was asked for, because that changed too much.",
    ),
}
"""By key of `core.cache_report`."""


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
        self._compile_cache = gauge(
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
        self._options = {
            SPEED_UP: gauge(
                names.METRIC_OPTION_SPEED_UP,
                "How many times as fast the model is with this option alone, or with all (combined), by the kept evaluation.",
                "option",
            ),
            SAVED_BYTES: gauge(
                names.METRIC_OPTION_SAVED_BYTES,
                "Memory that the option saves, by the kept evaluation; below 0 it takes more.",
                "option",
            ),
            LOSS: gauge(
                names.METRIC_OPTION_LOSS,
                "How far the answers are from those without the option, 0 to 1, by the kept evaluation.",
                "option",
            ),
        }
        self._judged_loss = gauge(
            names.METRIC_JUDGED_LOSS,
            "How far the answers with all options are from those with none, as evaluate --loss judged it; +Inf where it was no number.",
        )
        self._loss_limit = gauge(
            names.METRIC_OPTION_LOSS_LIMIT,
            "How far all options together may move the answers, 0 to 1, by the kept evaluation.",
        )
        self._cache_precision = gauge(
            names.METRIC_KV_CACHE_PRECISION,
            "1 for how the newest worker keeps keys and values beyond the recent window, after any step back.",
            "precision",
        )
        self._cache_by_key = {key: gauge(name, text) for key, (name, text) in _CACHE.items()}

    def update(self, report: Mapping[str, Any]) -> None:
        """See `optimize.report`; an empty report of a model that is served as it is written changes nothing."""
        if not report:
            return
        for one in (
            self._weights,
            self._compile,
            self._compile_cache,
            self._values,
            self._limits,
            *self._options.values(),
            self._judged_loss,
            self._loss_limit,
            self._cache_precision,
            *self._cache_by_key.values(),
        ):
            one.clear()
        if (bytes_ := report.get("weight_bytes")) is not None:
            self._weights.labels(self._model, report["precision"]["policy"]).set(bytes_)
        compiled = report["compile"]
        self._compile.labels(self._model, compiled["mode"]).set(compiled["seconds"])
        self._compile_cache.labels(self._model, compiled["cache"]).set(1)
        self._saved.labels(self._model).set(compiled["saved_seconds"])
        quality = report["quality"]
        self._accepted.labels(self._model).set(1 if quality["passed"] else 0)
        for measured in quality["measurements"]:
            self._values.labels(self._model, measured["name"]).set(measured["value"])
            if measured["limit"] is not None:
                self._limits.labels(self._model, measured["name"]).set(measured["limit"])
        for option, figure, value in kept_figures(report.get("evaluation") or {}):
            self._options[figure].labels(self._model, option).set(value)
        if (judged := kept_loss(report.get("evaluation") or {})) is not None:
            self._judged_loss.labels(self._model).set(judged.loss)
            self._loss_limit.labels(self._model).set(judged.limit)
        cache = report.get("kv_cache") or {}
        if cache:
            self._cache_precision.labels(self._model, cache["precision"]).set(1)
        for key, value in cache.items():
            if key in self._cache_by_key and value is not None:
                self._cache_by_key[key].labels(self._model).set(value)
