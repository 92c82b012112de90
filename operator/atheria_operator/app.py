"""The composition root: wires ports, handlers, the demand sink and the metrics server, and runs them until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Any, Final

import kopf
from prometheus_client import CollectorRegistry

from atheria_contract import names
from atheria_contract.json_log import TEXT, configure_log
from atheria_contract.standby import parse_standby_key
from atheria_operator.adapters.clock import SystemClock
from atheria_operator.adapters.demand_sink import serve_demand
from atheria_operator.adapters.kube import KubeClusterWriter, KubeLease, connect
from atheria_operator.adapters.pod_reports import HttpPodReports
from atheria_operator.adapters.standby_orders import HttpStandbyOrders
from atheria_operator.adapters.telemetry import PrometheusTelemetry, serve_metrics
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.handlers.children import known_models, known_objects, register_children
from atheria_operator.handlers.dependencies import Dependencies
from atheria_operator.handlers.lifecycle import (
    QuietHandlers,
    build_kopf_settings,
    register_end,
    register_login,
)
from atheria_operator.handlers.models import register_models
from atheria_operator.interop import Interop
from atheria_operator.pod_tls import PodTls, pod_identity
from atheria_operator.runtime.demand_board import DemandBoard
from atheria_operator.runtime.heartbeat import Heartbeat
from atheria_operator.runtime.leadership import Leadership
from atheria_operator.runtime.offers import OfferReader, Offers
from atheria_operator.runtime.presence import Presence
from atheria_operator.runtime.reach import EVERY_SECONDS, Reach, ReachChanged
from atheria_operator.runtime.release import Release
from atheria_operator.runtime.sight import Blind, Sight
from atheria_operator.runtime.upgrade_wave import UpgradeWave
from atheria_operator.runtime.wakeups import Wakeups
from atheria_operator.settings import Settings, SettingsError

_LOG = logging.getLogger(__name__)
EXIT_BROKEN: Final = 4
GUARD_SECONDS: Final = 15.0
"""Kopf's own end takes less."""
_FIRST_LOOK_SECONDS: Final = 0.5
_KOPF_WATCHES: Final = "multidimensional multitasker"
"""Name of kopf's task that holds all watches; tests/integration/operator/test_safety.py breaks one."""


async def run(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Until SIGTERM, or until `stop` is set. Raises SettingsError for a key that cannot be read, and what made the
    operator end otherwise, such as Replaced."""
    stop = stop or asyncio.Event()
    standby_key = _standby_key(settings.standby_key_file)
    # Until kopf takes over the signal: whoever waits for the Lease ends at once and well.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = SystemClock()
    metrics = CollectorRegistry()
    telemetry = PrometheusTelemetry(metrics)
    heartbeat = Heartbeat(clock, stuck_seconds=settings.stuck_seconds)
    telemetry.watch_heartbeat(lambda: heartbeat.age_seconds)
    reconcile_wakeups = Wakeups(lambda: telemetry.woken("reconcile"))
    scaling_wakeups = Wakeups(lambda: telemetry.woken("autoscale"))
    regained = Wakeups()
    board = DemandBoard(clock, scaling_wakeups)
    ready = asyncio.Event()
    api = await connect(settings.kubeconfig)
    leadership = None
    if settings.pod_namespace:
        store = KubeLease(api, settings.pod_namespace, clock.now)

        def led(is_leader: bool) -> None:
            telemetry.led(is_leader=is_leader)
            if is_leader:
                # At the start there is little to find; after an outage it is what watches did not tell.
                presence.hurry()
                regained.wake_all()

        leadership = Leadership(store, settings.pod_name, clock, led)
    else:
        telemetry.led(is_leader=True)
    identity = pod_identity(settings.pod_tls)
    pod_reports = HttpPodReports(identity)
    standby = HttpStandbyOrders(standby_key, identity) if standby_key else None

    def unready() -> str:
        if leadership is not None and not leadership.may_write:
            return f"waiting for the Lease, which {leadership.holder or 'nobody known'} holds"
        return "" if ready.is_set() else "not yet logged in at the API server"

    try:
        # Before kopf: it ends every task that was started after it.
        sink, demand_port = await serve_demand(board, settings.demand_port)
        runner, metrics_port = await serve_metrics(
            port=settings.metrics_port, registry=metrics, unready=unready, stuck=heartbeat.stuck
        )
        _LOG.info(
            "demand_port=%s metrics_port=%s namespaces=%s",
            demand_port,
            metrics_port,
            settings.namespaces or "all",
        )
        namespaces = list(settings.namespaces)
        cluster = KubeClusterWriter(
            api,
            may_write=(lambda: True) if leadership is None else (lambda: leadership.may_write),
            called=telemetry.called,
            namespaces=namespaces,
        )
        pod_tls = PodTls(
            settings.pod_tls,
            identity,
            cluster,
            clock,
            namespace=settings.pod_namespace,
            wake_all=reconcile_wakeups.wake_all,
        )
        telemetry.watch_certificates(pod_tls.ends_seconds)
        offers = Offers()
        interop = Interop(settings, OfferReader(offers, board, clock), cluster, stop)
        # Before kopf, as the sink.
        await interop.start()
        reach = Reach(cluster, settings.namespaces, namespaces)
        indexes: dict[str, Any] = {}
        presence = Presence(
            cluster,
            clock,
            lambda: known_objects(indexes),
            lambda key: given.wake(key),  # noqa: PLW0108 - it is made below
            every_seconds=settings.resync_seconds,
        )
        sight = Sight()
        release = Release(
            cluster, sight, lambda one: given.wake(ModelKey(namespace=one.namespace, name=one.name))
        )
        given = Dependencies(
            indexes=indexes,
            offers=offers,
            scaler_address=settings.external_scaler_address,
            gone=lambda: presence.gone,
            leaving=lambda: release.leaving,
            cluster=cluster,
            models=cluster,
            pod_events=cluster,
            demand=board,
            pod_reports=pod_reports,
            clock=clock,
            telemetry=telemetry,
            standby=standby,
            certificates=pod_tls.certificates,
            defaults=ServerDefaults(
                image=settings.server_image,
                pull_policy=settings.pull_policy,
                standby_key=standby_key,
                has_cert_manager=settings.pod_tls is not None and settings.pod_tls.issuer is not None,
                telemetry=settings.model_telemetry,
            ),
            resync_seconds=settings.resync_seconds,
            heartbeat=heartbeat,
            sight=sight,
            reconcile_wakeups=reconcile_wakeups,
            scaling_wakeups=scaling_wakeups,
            regained=regained,
            upgrades=UpgradeWave(
                at_once=settings.upgrades_at_once,
                models=lambda: known_models(indexes),
                wake=reconcile_wakeups.wake,
            ),
        )
        try:
            if leadership is None:
                await _operate(settings, given, presence, release, reach, pod_tls, stop, ready)
            elif await leadership.acquire(stop):
                await _lead(settings, given, presence, release, reach, pod_tls, stop, ready, leadership)
        finally:
            await interop.stop()
            await sink.stop(grace=1.0)
            await runner.cleanup()
    finally:
        await pod_reports.close()
        if standby:
            await standby.close()
        await api.close()


def _standby_key(file: str) -> bytes:
    """Empty without a file. Raises SettingsError where it cannot be used."""
    if not file:
        return b""
    try:
        return parse_standby_key(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{names.ENV_STANDBY_KEY_FILE}: {file} cannot be used: {error}") from error


async def _lead(
    settings: Settings,
    given: Dependencies,
    presence: Presence,
    release: Release,
    reach: Reach,
    pod_tls: PodTls,
    stop: asyncio.Event,
    ready: asyncio.Event,
    leadership: Leadership,
) -> None:
    """Operate for as long as the Lease is held; it is given back when nothing writes any more."""
    ended = asyncio.Event()

    async def keep() -> None:
        try:
            await leadership.keep(ended)
        finally:
            stop.set()

    keeper = asyncio.create_task(keep(), name="lease")
    try:
        await _operate(settings, given, presence, release, reach, pod_tls, stop, ready)
    finally:
        ended.set()
        try:
            await keeper
        finally:
            await leadership.release()


async def _operate(
    settings: Settings,
    given: Dependencies,
    presence: Presence,
    release: Release,
    reach: Reach,
    pod_tls: PodTls,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    """Watch, reconcile and scale until the end; kopf is started anew where it does not see the models, or may see others."""
    await pod_tls.prepare()
    while not stop.is_set():
        await reach.look()
        if reach.is_empty:
            # Without names kopf would watch all of the cluster.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_SECONDS)
            continue
        # Each end of kopf takes its own handler of the signal away.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        given.sight.start()
        try:
            await _run_kopf(settings, given, presence, release, reach, pod_tls, stop, ready)
        except (Blind, ReachChanged) as cause:
            _LOG.warning("%s: kopf's watches are started anew", cause)
        else:
            return


async def _run_kopf(
    settings: Settings,
    given: Dependencies,
    presence: Presence,
    release: Release,
    reach: Reach,
    pod_tls: PodTls,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    """Once, until `stop` or the end of a check, whose exception is raised."""
    registry = kopf.OperatorRegistry()
    register_login(registry, settings)
    register_children(registry, given)
    register_models(registry, given)
    halt = asyncio.Event()
    register_end(registry, halt)
    checks = [
        asyncio.create_task(stop.wait(), name="stop"),
        asyncio.create_task(presence.run(), name="presence"),
        asyncio.create_task(release.run(), name="release"),
        asyncio.create_task(reach.run(), name="reach"),
        asyncio.create_task(_end_when_kopf_is_broken(), name="guard"),
        *pod_tls.loops(),
    ]
    for check in checks:
        # Kopf ends by the same flag: a check that fails is not left unseen.
        check.add_done_callback(lambda _: halt.set())
    try:
        await kopf.operator(
            registry=registry,
            settings=build_kopf_settings(settings),
            standalone=True,
            clusterwide=not reach.namespaces,
            namespaces=tuple(reach.namespaces),
            stop_flag=halt,
            ready_flag=ready,
        )
    finally:
        for check in checks:
            check.cancel()
        ended = await asyncio.gather(*checks, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


async def _end_when_kopf_is_broken() -> None:
    """End the process when kopf has stopped watching by itself and has not ended either.

    A watch that ends in the middle of a line makes kopf 1.45 stop all watches and then wait for ever. Nothing is lost by ending at
    once: there is no state, and a container that starts again in the same pod need not wait for its Lease.
    """
    has_watched = False
    while True:
        # Often at first: kopf may break in its first seconds, too.
        await asyncio.sleep(GUARD_SECONDS if has_watched else _FIRST_LOOK_SECONDS)
        is_watching = any(task.get_name() == _KOPF_WATCHES for task in asyncio.all_tasks())
        if has_watched and not is_watching:
            await asyncio.sleep(GUARD_SECONDS)
            _LOG.critical(
                "kopf has stopped watching and does not end: this process ends, to be started again"
            )
            logging.shutdown()
            os._exit(EXIT_BROKEN)
        has_watched = has_watched or is_watching


def configure_logging(level: str, kind: str = TEXT) -> None:
    """One line per record on stderr, as text or as JSON."""
    configure_log(level, kind)
    logging.getLogger("kopf.objects").addFilter(QuietHandlers())
