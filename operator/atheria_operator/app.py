"""The composition root: wires ports, handlers, the demand sink and the metrics server, and runs them until SIGTERM."""

from __future__ import annotations

import asyncio
import logging

import kopf
from prometheus_client import CollectorRegistry

from atheria_operator.adapters.clock import SystemClock
from atheria_operator.adapters.demand_sink import serve_demand
from atheria_operator.adapters.kube import KubeClusterWriter, connect
from atheria_operator.adapters.pod_reports import HttpPodReports
from atheria_operator.adapters.telemetry import PrometheusTelemetry, serve_metrics
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.handlers.children import register_children
from atheria_operator.handlers.dependencies import Dependencies
from atheria_operator.handlers.lifecycle import QuietHandlers, build_kopf_settings, register_login
from atheria_operator.handlers.models import register_models
from atheria_operator.runtime.demand_board import DemandBoard
from atheria_operator.runtime.wakeups import Wakeups
from atheria_operator.settings import Settings

_LOG = logging.getLogger(__name__)


async def run(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Until SIGTERM, or until `stop` is set. Raises what made the operator end otherwise."""
    clock = SystemClock()
    reconcile_wakeups, scaling_wakeups = Wakeups(), Wakeups()
    board = DemandBoard(clock, scaling_wakeups)
    metrics = CollectorRegistry()
    ready = asyncio.Event()
    api = await connect(settings.kubeconfig)
    pod_reports = HttpPodReports()
    try:
        given = Dependencies(
            cluster=KubeClusterWriter(api),
            demand=board,
            pod_reports=pod_reports,
            clock=clock,
            telemetry=PrometheusTelemetry(metrics),
            defaults=ServerDefaults(image=settings.server_image, pull_policy=settings.pull_policy),
            resync_seconds=settings.resync_seconds,
            reconcile_wakeups=reconcile_wakeups,
            scaling_wakeups=scaling_wakeups,
        )
        registry = kopf.OperatorRegistry()
        register_login(registry, settings)
        register_children(registry, given)
        register_models(registry, given)
        # Before kopf: it ends every task that was started after it.
        sink, demand_port = await serve_demand(board, settings.demand_port)
        runner, metrics_port = await serve_metrics(
            port=settings.metrics_port,
            registry=metrics,
            unhealthy=lambda: "" if ready.is_set() else "not yet logged in at the API server",
        )
        _LOG.info(
            "demand_port=%s metrics_port=%s namespaces=%s",
            demand_port,
            metrics_port,
            settings.namespaces or "all",
        )
        try:
            await kopf.operator(
                registry=registry,
                settings=build_kopf_settings(settings),
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                stop_flag=stop,
                ready_flag=ready,
            )
        finally:
            await sink.stop(grace=1.0)
            await runner.cleanup()
    finally:
        await pod_reports.close()
        await api.close()


def configure_logging(level: str) -> None:
    """One line per record on stderr."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kopf.objects").addFilter(QuietHandlers())
