"""The server's numbers at /metrics; the only importer of prometheus_client. All counters live in the front process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from atheria_contract import names
from atheria_server.core.statistics import Statistics

BATCH_BUCKETS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024)
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STAGE_BUCKETS: Final = (0.00001, 0.000025, 0.0001, 0.00025, *SECONDS_BUCKETS)
"""Decoding a small tensor takes some tens of microseconds."""
DECODE: Final = "decode"
QUEUE: Final = "queue"
INFERENCE: Final = "inference"
ENCODE: Final = "encode"
STAGES: Final = (DECODE, QUEUE, INFERENCE, ENCODE)


class ServerMetrics:
    """Implements the events of the engine and the service for one model."""

    def __init__(self, *, model: str, version: str) -> None:
        self._registry = CollectorRegistry()
        self._model = model
        self.statistics = Statistics()
        """The same events, as ModelStatistics wants them."""
        self._requests = self._counter(
            names.METRIC_REQUESTS, "Calls answered, by method and status code.", "method", "code"
        )
        self._seconds = self._histogram(
            names.METRIC_REQUEST_SECONDS,
            "From the arrival of a call to its answer, or to the end of its stream.",
            SECONDS_BUCKETS,
            "method",
        )
        self._waits = self._histogram(
            names.METRIC_QUEUE_WAIT_SECONDS,
            "From the arrival of a call to its dispatch to a worker.",
            SECONDS_BUCKETS,
        ).labels(model)
        self._batches = self._histogram(
            names.METRIC_BATCH_SIZE, "Rows of each dispatched batch.", BATCH_BUCKETS
        ).labels(model)
        self._inference = self._histogram(
            names.METRIC_INFERENCE_SECONDS, "Time of each batch inside the worker.", SECONDS_BUCKETS
        ).labels(model)
        stages = self._histogram(
            names.METRIC_STAGE_SECONDS,
            "Time of each part of the way: decode and encode of one message, queue of one call, inference of one "
            "batch or stream.",
            STAGE_BUCKETS,
            "stage",
        )
        self._stages = {stage: stages.labels(model, stage) for stage in STAGES}
        self._rejected = self._counter(
            names.METRIC_REJECTED, "Calls refused before they were computed, by reason.", "reason"
        )
        self._cancelled = self._counter(
            names.METRIC_CANCELLED, "Calls whose caller went away before the answer."
        ).labels(model)
        self._expired = self._counter(
            names.METRIC_EXPIRED, "Calls whose deadline passed before the answer."
        ).labels(model)
        self._restarts = self._counter(
            names.METRIC_WORKER_RESTARTS, "Workers started again after their process died."
        ).labels(model)
        self._dropped = self._counter(
            names.METRIC_FRAMES_DROPPED, "Frames of HTTP streams left out because the viewer was too slow."
        ).labels(model)
        self._depth = self._gauge(names.METRIC_QUEUE_DEPTH, "Calls that wait for a worker.")
        self._in_flight = self._gauge(
            names.METRIC_IN_FLIGHT, "Calls accepted and not yet answered, the waiting ones included."
        )
        self._load = self._gauge(names.METRIC_MODEL_LOAD_SECONDS, "Import and setup of the newest worker.")
        self._warmup = self._gauge(names.METRIC_MODEL_WARMUP_SECONDS, "Warm-up of the newest worker.")
        self._ready = self._gauge(names.METRIC_READY, "1 while calls are welcome.")
        build = Gauge(names.METRIC_BUILD_INFO, "Always 1.", ("version",), registry=self._registry)
        build.labels(version).set(1)

    def observe(
        self, *, depth: Callable[[], float], in_flight: Callable[[], float], ready: Callable[[], bool]
    ) -> None:
        """Where the gauges read their values."""
        self._depth.set_function(depth)
        self._in_flight.set_function(in_flight)
        self._ready.set_function(lambda: float(ready()))

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """See ServiceEvents."""
        self._requests.labels(self._model, method, code).inc()
        self._seconds.labels(self._model, method).observe(seconds)
        self.statistics.call_ended(ok=code == "OK", seconds=seconds)
        if code == "CANCELLED":
            self._cancelled.inc()
        elif code == "DEADLINE_EXCEEDED":
            self._expired.inc()

    def call_rejected(self, reason: str) -> None:
        """See ServiceEvents."""
        self._rejected.labels(self._model, reason).inc()

    def decoded(self, seconds: float) -> None:
        """See ServiceEvents."""
        self._stages[DECODE].observe(seconds)
        self.statistics.compute_input.add(seconds)

    def encoded(self, seconds: float) -> None:
        """See ServiceEvents."""
        self._stages[ENCODE].observe(seconds)
        self.statistics.compute_output.add(seconds)

    def frames_dropped(self, count: int) -> None:
        """See ServiceEvents."""
        self._dropped.inc(count)

    def batch_sent(self, rows: int, waits: Sequence[float]) -> None:
        """See EngineEvents."""
        self._batches.observe(rows)
        self._left_queue(waits)

    def stream_sent(self, wait: float) -> None:
        """See EngineEvents."""
        self._left_queue([wait])

    def batch_computed(self, seconds: float, *, rows: int, calls: int) -> None:
        """See EngineEvents."""
        self._inference.observe(seconds)
        self._computed(seconds, rows, calls)

    def stream_computed(self, seconds: float, *, rows: int) -> None:
        """See EngineEvents."""
        self._computed(seconds, rows, 1)

    def worker_loaded(self, seconds: float) -> None:
        """See EngineEvents."""
        self._load.set(seconds)

    def worker_warm(self, seconds: float) -> None:
        """See EngineEvents."""
        self._warmup.set(seconds)

    def worker_restarted(self) -> None:
        """See EngineEvents."""
        self._restarts.inc()

    def text(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)

    def _left_queue(self, waits: Sequence[float]) -> None:
        for seconds in waits:
            self._waits.observe(seconds)
            self._stages[QUEUE].observe(seconds)
        self.statistics.left_queue(waits)

    def _computed(self, seconds: float, rows: int, calls: int) -> None:
        self._stages[INFERENCE].observe(seconds)
        self.statistics.computed(rows=rows, calls=calls, seconds=seconds, at=time.time())

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, ("model", *labels), registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, ("model", *labels), buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Any:
        return Gauge(name, text, ("model",), registry=self._registry).labels(self._model)
