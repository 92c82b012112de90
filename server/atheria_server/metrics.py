"""The server's numbers at /metrics; the only importer of prometheus_client. All counters live in the front process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from atheria_contract import names

BATCH_BUCKETS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024)
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ServerMetrics:
    """Implements the events of the engine and the service for one model."""

    def __init__(self, *, model: str, version: str) -> None:
        self._registry = CollectorRegistry()
        labels = ("model",)
        registry = self._registry
        self._requests = Counter(
            names.METRIC_REQUESTS,
            "Calls answered, by method and status code.",
            (*labels, "method", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            names.METRIC_REQUEST_SECONDS,
            "From the arrival of a call to its answer, or to the end of its stream.",
            (*labels, "method"),
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self._waits = Histogram(
            names.METRIC_QUEUE_WAIT_SECONDS,
            "From the arrival of a call to its dispatch to a worker.",
            labels,
            buckets=SECONDS_BUCKETS,
            registry=registry,
        ).labels(model)
        self._batches = Histogram(
            names.METRIC_BATCH_SIZE,
            "Rows of each dispatched batch.",
            labels,
            buckets=BATCH_BUCKETS,
            registry=registry,
        ).labels(model)
        self._inference = Histogram(
            names.METRIC_INFERENCE_SECONDS,
            "Time of each batch inside the worker.",
            labels,
            buckets=SECONDS_BUCKETS,
            registry=registry,
        ).labels(model)
        self._depth = Gauge(
            names.METRIC_QUEUE_DEPTH, "Calls that wait for a worker.", labels, registry=registry
        ).labels(model)
        self._in_flight = Gauge(
            names.METRIC_IN_FLIGHT,
            "Calls accepted and not yet answered, the waiting ones included.",
            labels,
            registry=registry,
        ).labels(model)
        self._load = Gauge(
            names.METRIC_MODEL_LOAD_SECONDS,
            "Import and setup of the newest worker.",
            labels,
            registry=registry,
        ).labels(model)
        self._warmup = Gauge(
            names.METRIC_MODEL_WARMUP_SECONDS, "Warm-up of the newest worker.", labels, registry=registry
        ).labels(model)
        self._ready = Gauge(
            names.METRIC_READY, "1 while calls are welcome.", labels, registry=registry
        ).labels(model)
        Gauge(names.METRIC_BUILD_INFO, "Always 1.", ("version",), registry=registry).labels(version).set(1)
        self._model = model

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

    def batch_sent(self, rows: int, waits: Sequence[float]) -> None:
        """See EngineEvents."""
        self._batches.observe(rows)
        for seconds in waits:
            self._waits.observe(seconds)

    def batch_computed(self, seconds: float) -> None:
        """See EngineEvents."""
        self._inference.observe(seconds)

    def worker_loaded(self, seconds: float) -> None:
        """See EngineEvents."""
        self._load.set(seconds)

    def worker_warm(self, seconds: float) -> None:
        """See EngineEvents."""
        self._warmup.set(seconds)

    def text(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)
