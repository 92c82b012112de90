"""Prometheus metrics of the operator, and the HTTP server with /metrics and /healthz."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from atheria_contract import names
from atheria_operator.api.model import ModelKey

_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class PrometheusTelemetry:
    """Telemetry as Prometheus metrics in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """One per registry."""
        self._seconds = Histogram(
            names.METRIC_RECONCILE_SECONDS,
            "Duration of one round of a model's reconcile loop, seconds",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._errors = Counter(
            names.METRIC_RECONCILE_ERRORS.removesuffix("_total"), "Rounds that failed", registry=registry
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

    def reconciled(self, seconds: float, *, is_error: bool) -> None:
        """One round of a model's loop."""
        self._seconds.observe(seconds)
        if is_error:
            self._errors.inc()

    def replicas(self, key: ModelKey, *, desired: int, ready: int) -> None:
        """Pods decided and pods ready."""
        self._desired.labels(key.namespace, key.name).set(desired)
        self._ready.labels(key.namespace, key.name).set(ready)

    def scaled(self, key: ModelKey, reason: str) -> None:
        """The autoscaler changed a number."""
        self._scaled.labels(key.namespace, key.name, reason).inc()

    def forget(self, key: ModelKey) -> None:
        """Drop the series of a model that is gone."""
        for metric in (self._desired, self._ready, self._scaled):
            metric.remove_by_labels({"namespace": key.namespace, "model": key.name})


async def serve_metrics(
    *, port: int, registry: CollectorRegistry, unhealthy: Callable[[], str]
) -> tuple[web.AppRunner, int]:
    """Start the server on all addresses; returns it and its port (`port` 0 = a free one). OSError if it is taken.

    `unhealthy` says in words why the operator does not work, or nothing.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        words = unhealthy()
        return web.Response(status=503 if words else 200, text=f"{words or 'ok'}\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    # A free port is chosen for each address family; this is the one of IPv4.
    return runner, next(int(address[1]) for address in runner.addresses if len(address) == 2)
