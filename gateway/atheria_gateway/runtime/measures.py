"""The activator's Prometheus figures."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from atheria_contract import names
from atheria_gateway.core.demand import Demand
from atheria_gateway.core.hold import Refusal
from atheria_gateway.core.model import ModelKey

_LABELS = ("namespace", "model")
_HOLD_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)


class _Requests(Collector):
    """Calls by model as Envoy counts them: a counter that somebody else keeps."""

    def __init__(self) -> None:
        self.lines: tuple[Demand, ...] = ()

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            names.METRIC_GATEWAY_REQUESTS,
            "Calls that came since Envoy started, held ones included",
            labels=_LABELS,
        )
        for line in self.lines:
            family.add_metric((line.model.namespace, line.model.name), line.arrivals_total)
        yield family


class Measures:
    """All figures, in a registry of their own."""

    def __init__(self) -> None:
        """Registers every metric once."""
        self.registry = CollectorRegistry()
        self._held = Gauge(
            names.METRIC_GATEWAY_HELD, "Calls that wait for a model at zero", _LABELS, registry=self.registry
        )
        self._oldest = Gauge(
            names.METRIC_GATEWAY_OLDEST_HELD,
            "How long the oldest held call has waited, seconds; 0 while none is held",
            _LABELS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "atheria_gateway_requests_in_flight",
            "Calls that Envoy has given to pods",
            _LABELS,
            registry=self.registry,
        )
        self._seconds = Histogram(
            names.METRIC_GATEWAY_HOLD_SECONDS,
            "Time from a call's hold to its release, seconds",
            _LABELS,
            buckets=_HOLD_BUCKETS,
            registry=self.registry,
        )
        self._wakes = Counter(
            names.METRIC_GATEWAY_WAKES,
            "Models taken from 0 to 1 by this gateway",
            _LABELS,
            registry=self.registry,
        )
        self._standby = Histogram(
            names.METRIC_GATEWAY_STANDBY_SECONDS,
            "Time from the order to wake to a pod in standby to its answer that it is ready, seconds",
            _LABELS,
            buckets=_HOLD_BUCKETS,
            registry=self.registry,
        )
        self._arrived = Counter(
            "atheria_gateway_hold_arrivals_total", "Calls that began to wait", _LABELS, registry=self.registry
        )
        self._refused = Counter(
            "atheria_gateway_hold_refusals_total",
            "Calls that were not held or not released, by reason",
            (*_LABELS, "reason"),
            registry=self.registry,
        )
        self._held_bytes = Gauge(
            names.METRIC_GATEWAY_HELD_BYTES, "What held calls take in Envoy, bytes", registry=self.registry
        )
        self._certificate: Gauge | None = None
        ProcessCollector(registry=self.registry)
        self._requests = _Requests()
        self.registry.register(self._requests)
        self._shown: set[ModelKey] = set()

    def arrived(self, model: ModelKey) -> None:
        """A call began to wait."""
        self._arrived.labels(model.namespace, model.name).inc()

    def released(self, model: ModelKey, seconds: float, trace_id: str = "") -> None:
        """A call went on after `seconds`; in a trace that is kept it is an example of them."""
        example = {"trace_id": trace_id} if trace_id else None
        self._seconds.labels(model.namespace, model.name).observe(seconds, example)

    def refused(self, model: ModelKey, reason: Refusal) -> None:
        """A call was refused."""
        self._refused.labels(model.namespace, model.name, reason.value).inc()

    def woken(self, model: ModelKey) -> None:
        """A scale patch changed something."""
        self._wakes.labels(model.namespace, model.name).inc()

    def roused(self, model: ModelKey, seconds: float) -> None:
        """A pod in standby woke."""
        self._standby.labels(model.namespace, model.name).observe(seconds)

    def certificate_expires(self, at_seconds: float) -> None:
        """When the first of the certificates that are served expires, since the epoch; without TLS there is no figure."""
        if self._certificate is None:
            self._certificate = Gauge(
                names.METRIC_CERTIFICATE_EXPIRY,
                "When the certificate that new connections get expires, since the epoch.",
                registry=self.registry,
            )
        self._certificate.set(at_seconds)

    def seen(self, lines: tuple[Demand, ...], held_bytes: int = 0) -> None:
        """Show the newest demand; models that are gone vanish."""
        self._held_bytes.set(held_bytes)
        self._requests.lines = lines
        now = {line.model for line in lines}
        for gone in self._shown - now:
            self._held.remove(gone.namespace, gone.name)
            self._oldest.remove(gone.namespace, gone.name)
            self._in_flight.remove(gone.namespace, gone.name)
        for line in lines:
            self._held.labels(line.model.namespace, line.model.name).set(line.held)
            self._oldest.labels(line.model.namespace, line.model.name).set(line.oldest_held_s)
            self._in_flight.labels(line.model.namespace, line.model.name).set(line.in_flight)
        self._shown = now
