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
from atheria_operator.runtime.ports import INTERNAL, ClusterError, Raced, reason_of
from atheria_operator.runtime.reconciler import (
    ModelMissing,
    ReconcilePorts,
    Reconciler,
    View,
    model_ref,
)
from atheria_operator.runtime.release import delete_workloads
from atheria_operator.runtime.report_reader import ReportReader
from atheria_operator.runtime.scaler import Scaler, ScalingPorts
from atheria_operator.runtime.start_watcher import StartWatcher

_LOG = logging.getLogger(__name__)
MODELS: Final = (names.GROUP, names.VERSION, names.MODEL_PLURAL)
_CANCEL_SECONDS: Final = 5.0
_MISSING_SECONDS: Final = 5.0


class KopfEvents:
    """EventSink over kopf's own poster; works inside a daemon only."""

    def publish(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, message: str) -> None:
        """Say something about the model `body`; the API server takes 1024 characters."""
        kind = "Warning" if is_warning else "Normal"
        kopf.event(cast("kopf.Body", body), type=kind, reason=reason, message=message[:1024])


def register_models(registry: kopf.OperatorRegistry, given: Dependencies) -> None:
    """Add the handlers of AtheriaModel."""

    @kopf.on.event(*MODELS, id="model-event", registry=registry)
    async def model_event(
        namespace: str | None, name: str, uid: str | None, event: kopf.RawEvent, **_: Any
    ) -> None:
        given.sight.told(str(uid), is_deleted=event["type"] == "DELETED")
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

        end = _End(stopped, body, given)
        with given.reconcile_wakeups.listening(key) as woken:
            await _run_reconciler(key, body, loop, look, woken, end, given)
        try:
            await delete_workloads(given.models, body["metadata"])
        except ClusterError as error:
            _LOG.warning("model=%s: its Deployments are left to the garbage collector: %s", key, error)
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
            end = _End(stopped, body, given)
            failures = 0
            wait_seconds = 0.0
            while not await _ended_or_woken(end, woken, wait_seconds):
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
        namespace: str | None, name: str, body: kopf.Body, stopped: kopf.DaemonStopped, **indexes: Any
    ) -> None:
        key = _key(namespace, name)
        reader = ReportReader(key, given.pod_reports, given.clock, given.reports_of(key))
        watcher = StartWatcher(
            key, given.pod_reports, given.pod_events, given.clock, given.told_of(key), given.starting
        )
        # The flag of the reconcile loop: both have the model's pods to look at.
        with given.reconcile_wakeups.listening(key) as woken:
            end = _End(stopped, body, given)
            wait_seconds = 0.0
            while not await _ended_or_woken(end, woken, wait_seconds):
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


class _End:
    """When the loops of a model end: kopf says so, or the model is being deleted and kopf was not told."""

    def __init__(self, stopped: kopf.DaemonStopped, body: kopf.Body, given: Dependencies) -> None:
        """`body` is live."""
        self._stopped = stopped
        self._uid = str(body["metadata"]["uid"])
        self._given = given

    def __bool__(self) -> bool:
        """Whether it has come."""
        return bool(self._stopped) or self._uid in self._given.leaving()

    async def said_by_kopf(self) -> None:
        """Until kopf says so; the other reason comes with a wake."""
        await self._stopped.wait()


async def _run_reconciler(
    key: ModelKey,
    body: kopf.Body,
    loop: Reconciler,
    look: Any,
    woken: asyncio.Event,
    end: _End,
    given: Dependencies,
) -> None:
    failures = 0
    wait_seconds = 0.0
    is_missing = False
    while not await _ended_or_woken(end, woken, wait_seconds):
        # Cleared before anything is read: what changes from here on sets it again.
        woken.clear()
        if is_missing:
            is_missing = await _is_missing(key, body, given)
            if is_missing:
                continue
        began = given.clock.monotonic_seconds()
        reason = ""
        try:
            with given.heartbeat.round("reconcile", key):
                after_seconds = await loop.round(look)
            failures, wait_seconds = 0, given.resync_seconds if after_seconds is None else after_seconds
        except ModelMissing as missing:
            # The definition may be gone, or the API server not know it yet; making anything now would make it again and again.
            is_missing, wait_seconds = True, _MISSING_SECONDS
            _LOG.warning("model=%s is not known to the API server, nothing is made for it: %s", key, missing)
        except Exception as error:  # noqa: BLE001 - one model's failure is logged and retried, others go on
            failures += 1
            wait_seconds = backoff_seconds(failures, given.clock.jitter())
            reason = reason_of(error)
            _log_failure("reconciling", key, error, wait_seconds)
        given.telemetry.reconciled(given.clock.monotonic_seconds() - began, reason)


async def _is_missing(key: ModelKey, body: kopf.Body, given: Dependencies) -> bool:
    try:
        live = await given.cluster.read(model_ref(key))
    except ClusterError:
        return True
    return live is None or live["metadata"]["uid"] != body["metadata"]["uid"]


async def _ended_or_woken(end: _End, woken: asyncio.Event, wait_seconds: float) -> bool:
    """Wait for the end of the daemon, a wake or the time; True for the end."""
    if end or (wait_seconds == 0.0 and woken.is_set()):
        return bool(end)
    waits = [asyncio.create_task(woken.wait()), asyncio.create_task(end.said_by_kopf())]
    try:
        await asyncio.wait(waits, timeout=wait_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return bool(end)


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
