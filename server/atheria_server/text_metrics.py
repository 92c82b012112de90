"""What the runtime `text` counts, as metrics. Part of `metrics`; silent until a worker has reported once.

A worker reports each second and when its work ends: tokens and times since its last report, and what it has now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from atheria_contract import names
from atheria_server.metric_series import LABEL_MODEL, Histograms

SECONDS_BUCKETS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.1,
    0.15,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
)
_COUNTERS: Final = {
    "prompt_tokens": (names.METRIC_PROMPT_TOKENS, "Positions of the prompts of texts that were begun."),
    "generated_tokens": (names.METRIC_GENERATED_TOKENS, "Tokens generated."),
    "reused_tokens": (
        names.METRIC_REUSED_TOKENS,
        "Positions of prompts whose keys and values were in the cache from earlier calls.",
    ),
    "drafted_tokens": (
        names.METRIC_DRAFTED_TOKENS,
        "Tokens proposed by speculative decoding, to be checked by the model.",
    ),
    "accepted_tokens": (
        names.METRIC_ACCEPTED_TOKENS,
        "Proposed tokens that were right; each saved a pass of the model.",
    ),
    "undrafted_texts": (
        names.METRIC_UNDRAFTED_TEXTS,
        "Texts that ended and were at times without the draft model that they asked for.",
    ),
    "steps": (names.METRIC_TEXT_STEPS, "Steps of the running batch."),
}
_GAUGES: Final = {
    "active_sequences": (names.METRIC_ACTIVE_SEQUENCES, "Texts in the running batch."),
    "waiting_sequences": (
        names.METRIC_WAITING_SEQUENCES,
        "Texts in a worker that wait for room in the cache.",
    ),
    "cache_used_bytes": (
        names.METRIC_KV_CACHE_BYTES,
        "Bytes of the key-value cache that running texts and reusable prefixes hold.",
    ),
    "cache_budget_bytes": (names.METRIC_KV_CACHE_BUDGET_BYTES, "Bytes that the key-value cache may have."),
}


class TextMetrics(Collector):
    """Of all workers of one server."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._counts = dict.fromkeys(_COUNTERS, 0)
        self._now: dict[int, Mapping[str, Any]] = {}
        """Last report of each worker, by process id."""
        self._reported = False
        self._first = Histograms(
            names.METRIC_FIRST_TOKEN_SECONDS,
            "From a text's arrival in the worker to its first token.",
            SECONDS_BUCKETS,
        )
        self._between = Histograms(
            names.METRIC_TOKEN_SECONDS,
            "Mean time between two tokens of a text, behind the first one.",
            SECONDS_BUCKETS,
        )

    def update(self, worker: int, report: Mapping[str, Any]) -> None:
        """`report` of `models.text.counts`, from the worker with that process id."""
        self._reported = True
        self._now[worker] = report
        for name in _COUNTERS:
            self._counts[name] += int(report[name])
        for times, histogram in (("first_token_seconds", self._first), ("token_seconds", self._between)):
            for seconds in report[times]:
                histogram.child(self._model).observe(seconds)

    def worker_gone(self) -> None:
        """A worker died: what the others have now they tell again."""
        self._now.clear()

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks."""
        if not self._reported:
            return
        for key, (name, text) in _COUNTERS.items():
            counter = CounterMetricFamily(name.removesuffix("_total"), text, labels=[LABEL_MODEL])
            counter.add_metric([self._model], self._counts[key])
            yield counter
        for key, (name, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=[LABEL_MODEL])
            gauge.add_metric([self._model], sum(report[key] for report in self._now.values()))
            yield gauge
        yield self._first.family()
        yield self._between.family()
