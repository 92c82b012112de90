"""The server's numbers at /metrics; with `metric_series` the only importer of prometheus_client.

All counters live in the front process. What each call moves is resolved once and cheap (`metric_series`); rare events
are prometheus_client's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from atheria_contract import names
from atheria_server.core.bucket_labels import BucketLabels, FewLabels
from atheria_server.core.statistics import Statistics
from atheria_server.core.unread_frames import UnreadFrames
from atheria_server.current_trace import TRACE
from atheria_server.engine.buffers import Traffic
from atheria_server.engine.calls import Call
from atheria_server.metric_series import LABEL_MODEL, Distribution, SeriesCollector, Tally
from atheria_server.prepared_metrics import PreparedModel
from atheria_server.text_metrics import TextMetrics
from atheria_server.traffic_metrics import TrafficCollector
from atheria_server.unread_metrics import UnreadCollector

BATCH_BUCKETS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024)
SECONDS_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STAGE_BUCKETS: Final = (0.00001, 0.000025, 0.0001, 0.00025, *SECONDS_BUCKETS)
"""Decoding a small tensor takes some tens of microseconds."""
DECODE: Final = "decode"
QUEUE: Final = "queue"
INFERENCE: Final = "inference"
COPY: Final = "copy"
DEVICE: Final = "device"
ENCODE: Final = "encode"
STAGES: Final = (DECODE, QUEUE, INFERENCE, COPY, DEVICE, ENCODE)


class ServerMetrics:
    """Implements the events of the engine and the service for one model."""

    def __init__(self, *, model: str, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each one, which nobody reads
        self._registry = CollectorRegistry()
        self._model = model
        self._lengths = FewLabels()
        self._bucket_label = BucketLabels().label
        self._add_calls()
        self._add_batches()
        self._add_rare()
        self._add_gauges()
        self._text = TextMetrics(model)
        self._registry.register(self._text)
        build = Gauge(names.METRIC_BUILD_INFO, "Always 1.", ("version",), registry=self._registry)
        build.labels(version).set(1)
        ProcessCollector(registry=self._registry)
        self.statistics = Statistics(
            queue=self._stages[QUEUE],
            compute_input=self._stages[DECODE],
            compute_output=self._stages[ENCODE],
        )
        """The same events, as ModelStatistics wants them."""

    def _add_calls(self) -> None:
        self._series = SeriesCollector()
        self._registry.register(self._series)
        self._requests = self._series.counters(
            names.METRIC_REQUESTS, "Calls answered, by method and status code.", "method", "code"
        )
        self._seconds = self._series.histograms(
            names.METRIC_REQUEST_SECONDS,
            "From the arrival of a call to its answer, or to the end of its stream.",
            SECONDS_BUCKETS,
            "method",
        )
        self._ends: dict[tuple[str, str], tuple[Tally, Distribution]] = {}
        """By method and code; both are the server's own words, so there are few."""
        self._rejected = self._series.counters(
            names.METRIC_REJECTED, "Calls refused before they were computed, by reason.", "reason"
        )
        self._cancelled = self._tally(
            names.METRIC_CANCELLED, "Calls whose caller went away before the answer."
        )
        self._expired = self._tally(names.METRIC_EXPIRED, "Calls whose deadline passed before the answer.")

    def _add_batches(self) -> None:
        stages = self._series.histograms(
            names.METRIC_STAGE_SECONDS,
            "Time of each part of the way: decode and encode of one message, queue of one call, inference of one "
            "batch or stream, copy of one batch into and out of shared memory, device in its inference.",
            STAGE_BUCKETS,
            "stage",
        )
        self._stages = {stage: stages.child(self._model, stage) for stage in STAGES}
        waits = self._series.histograms(
            names.METRIC_QUEUE_WAIT_SECONDS,
            "From the arrival of a call to its dispatch to a worker.",
            STAGE_BUCKETS,
        )
        waits.show(self._stages[QUEUE], self._model)
        self._batches = self._distribution(
            names.METRIC_BATCH_SIZE, "Rows of each dispatched batch.", BATCH_BUCKETS
        )
        self._inference = self._distribution(
            names.METRIC_INFERENCE_SECONDS, "Time of each batch inside the worker.", SECONDS_BUCKETS
        )
        self._bucket_batches = self._series.counters(
            names.METRIC_BUCKET_BATCHES, "Dispatched batches by the layout of their tensors.", "bucket"
        )
        self._bucket_rows = self._series.counters(
            names.METRIC_BUCKET_ROWS, "Rows of dispatched batches by the layout of their tensors.", "bucket"
        )
        self._positions = self._series.counters(
            names.METRIC_SEQUENCE_POSITIONS,
            "Positions with input in batches of padded sequences, by the length that was computed.",
            "length",
        )
        self._padding = self._series.counters(
            names.METRIC_PADDING_POSITIONS, "Positions computed for nothing in the same batches.", "length"
        )

    def _add_rare(self) -> None:
        self._restarts = self._counter(
            names.METRIC_WORKER_RESTARTS, "Workers started again after their process died."
        )
        self._retried = self._counter(names.METRIC_RETRIED, "Calls computed again because their worker died.")
        self._compilations = self._counter(
            names.METRIC_COMPILATIONS, "Compilations of the model after its warm-up, while calls waited."
        )
        self._eager = self._counter(
            names.METRIC_EAGER_FALLBACKS,
            "Compiled functions computed without their compiled form, because nobody had warmed the layout up.",
        )
        self._prepared = PreparedModel(self._registry, self._model)
        self._sleeps = self._counter(names.METRIC_SLEEPS, "Times that the server was put to sleep.")
        self._wakes = self._distribution(
            names.METRIC_WAKE_SECONDS, "From a wish to wake to workers that can compute.", SECONDS_BUCKETS
        )
        self._dropped = self._counter(
            names.METRIC_FRAMES_DROPPED, "Frames of HTTP streams left out because the viewer was too slow."
        )

    def _add_gauges(self) -> None:
        self._cache_hits = self._tally(
            names.METRIC_CACHE_HITS, "Requests whose decoded form was in the LitAPI's cache."
        )
        self._cache_misses = self._tally(
            names.METRIC_CACHE_MISSES, "Requests that a LitAPI with a cache had to decode."
        )
        self._depth = self._gauge(names.METRIC_QUEUE_DEPTH, "Calls that wait for a worker.")
        self._in_flight = self._gauge(
            names.METRIC_IN_FLIGHT, "Calls accepted and not yet answered, the waiting ones included."
        )
        self._load = self._gauge(names.METRIC_MODEL_LOAD_SECONDS, "Import and setup of the newest worker.")
        self._warmup = self._gauge(names.METRIC_MODEL_WARMUP_SECONDS, "Warm-up of the newest worker.")
        self._ready = self._gauge(names.METRIC_READY, "1 while calls are welcome.")

    def observe(
        self, *, depth: Callable[[], float], in_flight: Callable[[], float], ready: Callable[[], bool]
    ) -> None:
        """Where the gauges read their values."""
        self._depth.set_function(depth)
        self._in_flight.set_function(in_flight)
        self._ready.set_function(lambda: float(ready()))

    def observe_fill(self, fill: Callable[[], float]) -> None:
        """Where the gauge of the queue's fill reads its value."""
        self._gauge(
            names.METRIC_QUEUE_FILL,
            "Part of the queue's places that are taken, 0 to 1; calls that find none are refused.",
        ).set_function(fill)

    def observe_standby(self, asleep: Callable[[], bool], freed_bytes: Callable[[], int]) -> None:
        """Where the gauges of the server's sleep read their values."""
        self._gauge(names.METRIC_ASLEEP, "1 while the model sleeps: loaded, its device freed.").set_function(
            lambda: float(asleep())
        )
        self._gauge(
            names.METRIC_FREED_BYTES, "Device memory freed by the sleep that lasts (measured); 0 while awake."
        ).set_function(freed_bytes)

    def observe_traffic(self, traffic: Callable[[], Traffic]) -> None:
        """Where the counters of the shared memory read their values."""
        self._registry.register(TrafficCollector(traffic, self._model))

    def observe_unread(self, unread: Callable[[], UnreadFrames[Any]]) -> None:
        """Where the figures of frames that wait for their readers are read."""
        self._registry.register(UnreadCollector(unread, self._model))

    def observe_certificate(self, expires_at_seconds: Callable[[], float]) -> None:
        """Where the gauge of a server with TLS reads its value; without TLS there is none."""
        expiry = self._gauge(
            names.METRIC_CERTIFICATE_EXPIRY,
            "When the certificate that new connections get expires, since the epoch.",
        )
        expiry.set_function(expires_at_seconds)

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """See ServiceEvents. In a sampled trace the call is an example of its duration."""
        ends = self._ends.get((method, code))
        if ends is None:
            ends = self._requests.child(self._model, method, code), self._seconds.child(self._model, method)
            self._ends[method, code] = ends
        tally, durations = ends
        tally.value += 1
        trace = TRACE.get()
        if trace is not None and trace.sampled:
            durations.observe_traced(seconds, trace.trace_id)
        else:
            durations.observe(seconds)
        self.statistics.call_ended(ok=code == "OK", seconds=seconds)
        if code == "CANCELLED":
            self._cancelled.value += 1
        elif code == "DEADLINE_EXCEEDED":
            self._expired.value += 1

    def call_rejected(self, reason: str) -> None:
        """See ServiceEvents."""
        self._rejected.child(self._model, reason).value += 1

    def decoded(self, seconds: float) -> None:
        """See ServiceEvents."""
        self._stages[DECODE].observe(seconds)

    def encoded(self, seconds: float) -> None:
        """See ServiceEvents."""
        self._stages[ENCODE].observe(seconds)

    def frames_dropped(self, count: int) -> None:
        """See ServiceEvents."""
        self._dropped.inc(count)

    def batch_sent(self, rows: int, waits: Sequence[float], members: Sequence[Call] = ()) -> None:
        """See EngineEvents."""
        self._batches.observe(rows)
        queue = self._stages[QUEUE]
        for seconds in waits:
            queue.observe(seconds)
        for call, seconds in zip(members, waits, strict=False):
            call.queue_seconds, call.batch_rows = seconds, rows
        if members:
            label = self._bucket_label(members[0].bucket)
            self._bucket_batches.child(self._model, label).value += 1
            self._bucket_rows.child(self._model, label).value += rows

    def batch_padded(self, length: int, *, used: int, rows: int) -> None:
        """See EngineEvents."""
        label = self._lengths.label(str(length))
        self._positions.child(self._model, label).value += used
        self._padding.child(self._model, label).value += rows * length - used

    def batch_computed(
        self,
        seconds: float,
        *,
        rows: int,
        calls: int,
        copy_seconds: float | None = None,
        device_seconds: float | None = None,
        members: Sequence[Call] = (),
    ) -> None:
        """See EngineEvents."""
        self._inference.observe(seconds)
        for call in members:
            call.inference_seconds = seconds
        self._computed(seconds, rows, calls)
        if copy_seconds is not None:
            self._stages[COPY].observe(copy_seconds)
        if device_seconds is not None:
            self._stages[DEVICE].observe(device_seconds)

    def stream_sent(self, wait: float, member: Call | None = None) -> None:
        """See EngineEvents."""
        if member is not None:
            member.queue_seconds = wait
        self._stages[QUEUE].observe(wait)

    def stream_computed(self, seconds: float, *, rows: int) -> None:
        """See EngineEvents."""
        self._computed(seconds, rows, 1)

    def compiled(self, count: int, eager: int = 0) -> None:
        """See EngineEvents."""
        self._compilations.inc(count)
        self._eager.inc(eager)

    def model_prepared(self, report: Mapping[str, Any]) -> None:
        """See EngineEvents."""
        self._prepared.update(report)

    def worker_loaded(self, seconds: float) -> None:
        """See EngineEvents."""
        self._load.set(seconds)

    def worker_warm(self, seconds: float) -> None:
        """See EngineEvents."""
        self._warmup.set(seconds)

    def worker_restarted(self) -> None:
        """See EngineEvents."""
        self._restarts.inc()
        self._text.worker_gone()

    def decoded_before(self, hits: int, misses: int) -> None:
        """See EngineEvents."""
        self._cache_hits.value += hits
        self._cache_misses.value += misses

    def text_reported(self, worker: int, report: Mapping[str, Any]) -> None:
        """See EngineEvents."""
        self._text.update(worker, report)

    def call_retried(self) -> None:
        """See EngineEvents."""
        self._retried.inc()

    def slept(self, freed_bytes: int, host_bytes: int) -> None:  # noqa: ARG002 - gauges ask for them
        """See EngineEvents."""
        self._sleeps.inc()

    def woke(self, seconds: float) -> None:
        """See EngineEvents."""
        self._wakes.observe(seconds)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type: OpenMetrics for who asks for it by the header `accept`, else Prometheus text."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def _computed(self, seconds: float, rows: int, calls: int) -> None:
        self._stages[INFERENCE].observe(seconds)
        self.statistics.computed(rows=rows, calls=calls, seconds=seconds, at=time.time())

    def _tally(self, name: str, text: str) -> Tally:
        return self._series.counters(name, text).child(self._model)

    def _distribution(self, name: str, text: str, bounds: Sequence[float]) -> Distribution:
        return self._series.histograms(name, text, bounds).child(self._model)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, (LABEL_MODEL,), registry=self._registry).labels(self._model)

    def _gauge(self, name: str, text: str) -> Any:
        return Gauge(name, text, (LABEL_MODEL,), registry=self._registry).labels(self._model)
