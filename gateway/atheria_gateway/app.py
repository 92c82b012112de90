"""Puts the activator together: services on the unix socket, loops, metrics, drain at a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from pathlib import Path

import grpc
from envoy.service.accesslog.v3 import als_pb2_grpc
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from atheria_contract import names
from atheria_contract.standby import parse_standby_key
from atheria_gateway.adapters.demand import DemandSender
from atheria_gateway.adapters.envoy_admin import EnvoyAdmin
from atheria_gateway.adapters.fleet_http import serve_fleet
from atheria_gateway.adapters.metrics_http import serve_metrics
from atheria_gateway.adapters.probe import TcpProbe
from atheria_gateway.adapters.standby import HttpStandby
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.runtime.ads_service import AdsService
from atheria_gateway.runtime.call_log_service import CallLogService
from atheria_gateway.runtime.certificates import watch_certificates
from atheria_gateway.runtime.check_service import CheckService
from atheria_gateway.runtime.fleet import FleetPage
from atheria_gateway.runtime.hold_spans import HoldSpans, start_hold_spans
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import KubePort
from atheria_gateway.settings import Settings
from atheria_gateway.xds.live_page import page_files
from atheria_gateway.xds.resources import EnvoyOptions

_LOG = logging.getLogger(__name__)


async def run(
    settings: Settings,
    kube: KubePort,
    environment: Mapping[str, str] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set, or without one until SIGTERM or SIGINT, then drain; a failed loop is raised.

    `environment` says where spans go; without it there are none.
    """
    spans = start_hold_spans(environment or {})
    token = _token(Path(settings.token_file))
    envoy = EnvoyAdmin(settings.admin_socket)
    demand = DemandSender(target=settings.demand_target, gateway=settings.pod_name)
    standby = HttpStandby(_standby_key(settings.standby_key_file), settings.pod_tls)
    measures = Measures()
    activator = Activator(
        settings=settings,
        options=envoy_options(settings, token),
        kube=kube,
        envoy=envoy,
        probe=TcpProbe(),
        demand=demand,
        measures=measures,
        standby=standby,
    )
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await serve(activator, settings.activator_socket, spans)
    fleet = (
        await serve_fleet(socket=settings.live_socket, body=FleetPage(activator.fleet).body)
        if settings.has_live_page
        else None
    )
    runner = await serve_metrics(
        port=settings.metrics_port,
        registry=measures.registry,
        is_ready=lambda: activator.is_ready,
        address=settings.metrics_address,
    )
    _LOG.info("activator listens on %s", settings.activator_socket)
    try:
        async with asyncio.TaskGroup() as tasks:
            loops = [tasks.create_task(activator.run()), tasks.create_task(demand.run())]
            if settings.tls or settings.pod_tls:
                loops.append(tasks.create_task(watch_certificates(envoy, measures)))
            await stop.wait()
            _LOG.info("stopping")
            await activator.drain()
            for loop in loops:
                loop.cancel()
    finally:
        await server.stop(1.0)
        await runner.cleanup()
        if fleet is not None:
            await fleet.cleanup()
        await standby.close()
        await envoy.close()
        if spans is not None:
            spans.shutdown()


def envoy_options(settings: Settings, token: str) -> EnvoyOptions:
    """What Envoy's resources depend on; `token` is the secret that its two listeners share."""
    return EnvoyOptions(
        hold_socket=settings.hold_socket,
        not_started_token=token,
        cors_origins=settings.cors_origins,
        has_api_keys=bool(settings.api_keys_file),
        tls_directory=settings.run_directory if settings.pod_tls else "",
        live_page=page_files() if settings.has_live_page else None,
    )


def _standby_key(file: str) -> bytes | None:
    """None without a file; OSError where it cannot be used."""
    if not file:
        return None
    try:
        return parse_standby_key(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OSError(f"{names.ENV_STANDBY_KEY_FILE}: {file} cannot be used: {error}") from error


def _token(file: Path) -> str:
    """The secret that Envoy's two listeners share; OSError with the command that makes it."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise OSError(f"{file} is not there: run `atheria-gateway bootstrap` first") from error


async def serve(activator: Activator, socket: str, spans: HoldSpans | None = None) -> grpc.aio.Server:
    """Start ADS, ext_authz, the access log service and gRPC health on a unix socket; a socket left by a killed predecessor is replaced."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_concurrent_streams", 1_000_000),
            # By default gRPC cancels calls at random once 1000 wait to be taken; Envoy would ask for them again, later.
            ("grpc.server.max_pending_requests", 1_000_000),
            ("grpc.server.max_pending_requests_hard_limit", 1_000_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ]
    )
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(AdsService(activator), server)
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(CheckService(activator, spans), server)
    als_pb2_grpc.add_AccessLogServiceServicer_to_server(CallLogService(activator), server)
    checks = health.aio.HealthServicer()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    Path(socket).unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anything runs
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server
