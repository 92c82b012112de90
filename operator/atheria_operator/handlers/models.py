"""Three daemons per AtheriaModel: its reconcile loop, its autoscaler, and the reader of its pods' reports.

Kopf gives them life, pause and exit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, cast

import kopf

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.backoff import backoff_seconds
from atheria_operator.handlers.children import observe, profiles
from atheria_operator.handlers.dependencies import Dependencies
from atheria_operator.runtime.ports import INTERNAL, Raced, reason_of
from atheria_operator.runtime.reconciler import ReconcilePorts, Reconciler, View
from atheria_operator.runtime.report_reader import ReportReader
from atheria_operator.runtime.scaler import Scaler, ScalingPorts
from atheria_operator.runtime.start_watcher import StartWatcher

_LOG = logging.getLogger(__name__)
MODELS: Final = (names.GROUP, names.VERSION, names.MODEL_PLURAL)
_CANCEL_SECONDS: Final = 5.0


class KopfEvents:
    """EventSink over kopf's own poster; works inside a daemon only."""

    def publish(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, message: str) -> None:
        """Say something about the model `body`; the API server takes 1024 characters."""
        kind = "Warning" if is_warning else "Normal"
        kopf.event(cast("kopf.Body", body), type=kind, reason=reason, message=message[:1024])


def register_models(registry: kopf.OperatorRegistry, given: Dependencies) -> None:
    """Add the handlers of AtheriaModel."""

    @kopf.on.event(*MODELS, id="model-event", registry=registry)
    async def model_event(namespace: str | None, name: str, **_: Any) -> None:
        given.wake(_key(namespace, name))

    @kopf.daemon(*MODELS, id="reconcile", cancellation_timeout=_CANCEL_SECONDS, registry=registry)
    async def reconcile(
        namespace: str | None, name: str, body: kopf.Body, stopped: kopf.DaemonStopped, **indexes: Any
    ) -> None:
        key = _key(namespace, name)
        ports = ReconcilePorts(
            cluster=given.cluster,
            demand=given.demand,
            clock=given.clock,
            events=KopfEvents(),
            telemetry=given.telemetry,
        )
        status = body.get("status") or {}
        loop = Reconciler(
            key,
            ports,
            given.defaults,
            given.decisions_of(key, status),
            given.reports_of(key),
            given.told_of(key),
            given.meter_of(key, status),
        )

        def look() -> View:
            return View(body=body, observed=observe(key, indexes, given.gone()), profiles=profiles(indexes))

        with given.reconcile_wakeups.listening(key) as woken:
            await _run_reconciler(key, loop, look, woken, stopped, given)
        given.forget(key)

    @kopf.daemon(*MODELS, id="autoscale", cancellation_timeout=_CANCEL_SECONDS, registry=registry)
    async def autoscale(
        namespace: str | None, name: str, body: kopf.Body, stopped: kopf.DaemonStopped, **indexes: Any
    ) -> None:
        key = _key(namespace, name)
        ports = ScalingPorts(
            cluster=given.cluster,
            demand=given.demand,
            clock=given.clock,
            events=KopfEvents(),
            telemetry=given.telemetry,
        )
        status = body.get("status") or {}
        loop = Scaler(key, ports, given.decisions_of(key, status), given.meter_of(key, status))
        with given.scaling_wakeups.listening(key) as woken:
            failures = 0
            wait_seconds = 0.0
            while not await _stopped_or_woken(stopped, woken, wait_seconds):
                woken.clear()
                try:
                    with given.heartbeat.round("autoscale", key):
                        after_seconds = await loop.tick(body, observe(key, indexes, given.gone()))
                    failures, wait_seconds = (
                        0,
                        given.resync_seconds if after_seconds is None else after_seconds,
                    )
                except Raced as race:
                    # Nothing is lost by a short wait, and the watches catch up meanwhile.
                    _LOG.info("model=%s scaling raced at %s: deciding again", key, race)
                    wait_seconds = 0.1
                except Exception as error:  # noqa: BLE001 - one model's failure is logged and retried, others go on
                    failures += 1
                    wait_seconds = backoff_seconds(failures, given.clock.jitter())
                    _log_failure("scaling", key, error, wait_seconds)
        given.telemetry.forget(key)

    @kopf.daemon(*MODELS, id="read-reports", cancellation_timeout=_CANCEL_SECONDS, registry=registry)
    async def read_reports(
        namespace: str | None, name: str, stopped: kopf.DaemonStopped, **indexes: Any
    ) -> None:
        key = _key(namespace, name)
        reader = ReportReader(key, given.pod_reports, given.clock, given.reports_of(key))
        watcher = StartWatcher(
            key, given.pod_reports, given.pod_events, given.clock, given.told_of(key), given.starting
        )
        # The flag of the reconcile loop: both have the model's pods to look at.
        with given.reconcile_wakeups.listening(key) as woken:
            wait_seconds = 0.0
            while not await _stopped_or_woken(stopped, woken, wait_seconds):
                woken.clear()
                observed = observe(key, indexes, given.gone())
                with given.heartbeat.round("read-reports", key):
                    is_new, after_seconds = await reader.round(observed)
                    has_moved, again_seconds = await watcher.round(observed)
                waits = [wait for wait in (after_seconds, again_seconds) if wait is not None]
                wait_seconds = min(waits, default=given.resync_seconds)
                if is_new or has_moved:
                    given.reconcile_wakeups.wake(key)
        watcher.close()


def _key(namespace: str | None, name: str) -> ModelKey:
    return ModelKey(namespace=str(namespace), name=name)


async def _run_reconciler(
    key: ModelKey,
    loop: Reconciler,
    look: Any,
    woken: asyncio.Event,
    stopped: kopf.DaemonStopped,
    given: Dependencies,
) -> None:
    failures = 0
    wait_seconds = 0.0
    while not await _stopped_or_woken(stopped, woken, wait_seconds):
        # Cleared before anything is read: what changes from here on sets it again.
        woken.clear()
        began = given.clock.monotonic_seconds()
        reason = ""
        try:
            with given.heartbeat.round("reconcile", key):
                after_seconds = await loop.round(look)
            failures, wait_seconds = 0, given.resync_seconds if after_seconds is None else after_seconds
        except Exception as error:  # noqa: BLE001 - one model's failure is logged and retried, others go on
            failures += 1
            wait_seconds = backoff_seconds(failures, given.clock.jitter())
            reason = reason_of(error)
            _log_failure("reconciling", key, error, wait_seconds)
        given.telemetry.reconciled(given.clock.monotonic_seconds() - began, reason)


async def _stopped_or_woken(stopped: kopf.DaemonStopped, woken: asyncio.Event, wait_seconds: float) -> bool:
    """Wait for the end of the daemon, a wake or the time; True for the end."""
    if stopped or (wait_seconds == 0.0 and woken.is_set()):
        return bool(stopped)
    waits = [asyncio.create_task(woken.wait()), asyncio.create_task(_until(stopped))]
    try:
        await asyncio.wait(waits, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(stopped)


async def _until(stopped: kopf.DaemonStopped) -> None:
    await stopped.wait()


def _log_failure(what: str, key: ModelKey, error: Exception, wait_seconds: float) -> None:
    """A refusal of the API server in one line, anything else with its trace."""
    _LOG.error(
        "%s model=%s failed, again in %.1f s: %s: %s",
        what,
        key,
        wait_seconds,
        type(error).__name__,
        error,
        exc_info=error if reason_of(error) == INTERNAL else None,
    )
