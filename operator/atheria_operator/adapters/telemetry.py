"""Prometheus metrics of the operator, and the HTTP server with /metrics, /healthz and /readyz."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from atheria_contract import names
from atheria_operator.adapters.certificate_end import CertificateEnd
from atheria_operator.adapters.model_figures import ModelFigures
from atheria_operator.adapters.model_metrics import ModelMetrics
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.status.figures import StatusFigures

_START_BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PrometheusTelemetry:
    """Telemetry as Prometheus metrics in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """One per registry."""
        self._registry = registry
        self._seconds = Histogram(
            names.METRIC_RECONCILE_SECONDS,
            "Duration of one round of a model's reconcile loop, seconds",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._rounds = Counter(
            names.METRIC_RECONCILE_ROUNDS.removesuffix("_total"),
            "Rounds of models' reconcile loops",
            registry=registry,
        )
        self._errors = Counter(
            names.METRIC_RECONCILE_ERRORS.removesuffix("_total"),
            "Rounds that failed, by reason",
            ["reason"],
            registry=registry,
        )
        self._wakeups = Counter(
            names.METRIC_WAKEUPS.removesuffix("_total"),
            "Wake-ups of models' loops by events and reports",
            ["loop"],
            registry=registry,
        )
        self._requests = Counter(
            names.METRIC_API_REQUESTS.removesuffix("_total"),
            "Requests to the API server besides watches, by verb and HTTP status; 0 is no answer",
            ["verb", "code"],
            registry=registry,
        )
        self._leader = Gauge(
            names.METRIC_LEADER, "1 while this operator holds the Lease and may write", registry=registry
        )
        self._phases = Histogram(
            names.METRIC_START_PHASE_SECONDS,
            "Duration of each phase of the start of a model's first pod, seconds",
            ["phase"],
            buckets=_START_BUCKETS,
            registry=registry,
        )
        self._heartbeat = Gauge(
            names.METRIC_HEARTBEAT_AGE,
            "Age of the oldest round of a loop that is under way, seconds; 0 while none is",
            registry=registry,
        )
        self._desired = Gauge(
            names.METRIC_DESIRED_REPLICAS, "Pods decided", ["namespace", "model"], registry=registry
        )
        self._ready = Gauge(
            names.METRIC_READY_REPLICAS, "Pods that answer calls", ["namespace", "model"], registry=registry
        )
        self._scaled = Counter(
            names.METRIC_SCALE_EVENTS.removesuffix("_total"),
            "Changes of the number of pods by the autoscaler",
            ["namespace", "model", "reason"],
            registry=registry,
        )
        self._figures = ModelFigures()
        registry.register(self._figures)
        self._models = ModelMetrics()
        registry.register(self._models)
        ProcessCollector(registry=registry)

    def reconciled(self, seconds: float, error: str = "") -> None:
        """One round of a model's loop; `error` is the reason in one word where it failed."""
        self._seconds.observe(seconds)
        self._rounds.inc()
        if error:
            self._errors.labels(error).inc()

    def woken(self, loop: str) -> None:
        """Something woke a loop of a model."""
        self._wakeups.labels(loop).inc()

    def called(self, verb: str, code: int) -> None:
        """A request to the API server was answered; `code` 0 = it was not."""
        self._requests.labels(verb, str(code)).inc()

    def led(self, *, is_leader: bool) -> None:
        """Whether this operator may write."""
        self._leader.set(1 if is_leader else 0)

    def started(self, phase: str, seconds: float) -> None:
        """A phase of a first pod's start that is over."""
        self._phases.labels(phase).observe(seconds)

    def watch_heartbeat(self, age_seconds: Callable[[], float]) -> None:
        """Where the age of the heartbeat is read at each scrape."""
        self._heartbeat.set_function(age_seconds)

    def watch_certificates(self, ends_seconds: Callable[[], float | None]) -> None:
        """Where the end of the first of the operator's own certificates is read at each scrape; None = it has none."""
        self._registry.register(CertificateEnd(ends_seconds))

    def replicas(self, key: ModelKey, *, desired: int, ready: int) -> None:
        """Pods decided and pods ready."""
        self._desired.labels(key.namespace, key.name).set(desired)
        self._ready.labels(key.namespace, key.name).set(ready)

    def scaled(self, key: ModelKey, reason: str) -> None:
        """The autoscaler changed a number."""
        self._scaled.labels(key.namespace, key.name, reason).inc()

    def reported(self, key: ModelKey, figures: StatusFigures) -> None:
        """The figures of the newest status."""
        self._figures.show(key, figures)

    def decided(self, key: ModelKey, inputs: Mapping[str, float]) -> None:
        """What the autoscaler saw; nothing while it has nothing to decide."""
        self._models.decided(key, inputs)

    def holds(self, key: ModelKey, profile: str, devices: int) -> None:
        """Devices that a model's pods hold."""
        self._models.holds(key, profile, devices)

    def forget(self, key: ModelKey) -> None:
        """Drop the series of a model that is gone."""
        self._models.forget(key)
        self._figures.forget(key)
        for metric in (self._desired, self._ready, self._scaled):
            metric.remove_by_labels({"namespace": key.namespace, "model": key.name})


async def serve_metrics(
    *, port: int, registry: CollectorRegistry, unready: Callable[[], str], stuck: Callable[[], str]
) -> tuple[web.AppRunner, int]:
    """Start the server on all addresses; returns it and its port (`port` 0 = a free one). OSError if it is taken.

    `unready` says in words why the operator does not work yet (/readyz), `stuck` why it has to be started again (/healthz);
    both nothing while all is well.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def probe(ask: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            words = ask()
            return web.Response(status=503 if words else 200, text=f"{words or 'ok'}\n")

        return answer

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", probe(stuck))
    app.router.add_get("/readyz", probe(unready))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    # A free port is chosen for each address family; this is the one of IPv4.
    return runner, next(int(address[1]) for address in runner.addresses if len(address) == 2)
