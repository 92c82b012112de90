"""The three loops of one model, wired to what kopf knows of it: reconciling, scaling, and the reading of its pods' reports.

Run by the daemon in `handlers.models`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, cast

import kopf

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
from atheria_operator.runtime.rounds import Rounds
from atheria_operator.runtime.scaler import Scaler, ScalingPorts
from atheria_operator.runtime.start_watcher import StartWatcher

_LOG = logging.getLogger(__name__)
_MISSING_SECONDS: Final = 5.0
_RACED_SECONDS: Final = 0.1


class KopfEvents:
    """EventSink over kopf's own poster; works inside a daemon, and in what it started, only."""

    def publish(self, body: Mapping[str, Any], *, is_warning: bool, reason: str, message: str) -> None:
        """Say something about the model `body`; the API server takes 1024 characters."""
        kind = "Warning" if is_warning else "Normal"
        kopf.event(cast("kopf.Body", body), type=kind, reason=reason, message=message[:1024])


class ModelLoops:
    """All that is kept for one model while it exists in this operator."""

    __slots__ = (
        "_body",
        "_given",
        "_indexes",
        "_is_missing",
        "_key",
        "_reader",
        "_reconciler",
        "_scaler",
        "_stopped",
        "_uid",
        "_watcher",
    )

    def __init__(
        self,
        key: ModelKey,
        body: kopf.Body,
        stopped: kopf.DaemonStopped,
        indexes: Mapping[str, Any],
        given: Dependencies,
    ) -> None:
        """`body` and `indexes` are kopf's own and live."""
        self._key = key
        self._body = body
        self._uid = str(body["metadata"]["uid"])
        self._stopped = stopped
        self._indexes = indexes
        self._given = given
        self._is_missing = False
        status = body.get("status") or {}
        decisions, meter = given.decisions_of(key, status), given.meter_of(key, status)
        reports, told, rests = given.reports_of(key), given.told_of(key), given.rests_of(key)
        self._reconciler = Reconciler(
            key,
            ReconcilePorts(
                cluster=given.cluster,
                demand=given.demand,
                clock=given.clock,
                events=KopfEvents(),
                telemetry=given.telemetry,
                upgrades=given.upgrades,
                certificates=given.certificates,
                scaler_address=given.scaler_address,
            ),
            given.defaults,
            decisions,
            reports,
            told,
            meter,
            rests,
        )
        self._scaler = Scaler(
            key,
            ScalingPorts(
                cluster=given.cluster,
                demand=given.demand,
                clock=given.clock,
                events=KopfEvents(),
                telemetry=given.telemetry,
                pods=given.pod_reports,
                offers=given.offers,
                standby=given.standby,
            ),
            decisions,
            meter,
            told,
            rests,
        )
        self._reader = ReportReader(key, given.pod_reports, given.clock, reports)
        self._watcher = StartWatcher(
            key, given.pod_reports, given.pod_events, given.clock, told, given.starting, rests
        )

    async def run(self) -> None:
        """Until kopf says so, or the model is being deleted and kopf was not told."""
        given, key = self._given, self._key
        reconciling = Rounds(self._reconcile, self._reconcile_failed, self._has_ended)
        scaling = Rounds(self._scale, self._scale_failed, self._has_ended)
        reading = Rounds(self._read, self._read_failed, self._has_ended)
        loops = (reconciling, scaling, reading)
        stop = asyncio.create_task(self._stop(loops))
        try:
            with (
                # Reconciling and reading have the same things to look at.
                given.reconcile_wakeups.listening(key, reconciling.wake, reading.wake),
                given.scaling_wakeups.listening(key, scaling.wake),
                given.regained.listening(key, *(loop.begin_anew for loop in loops)),
            ):
                for loop in loops:
                    loop.wake()
                await reconciling.ended()
                try:
                    await delete_workloads(given.models, self._body["metadata"])
                except ClusterError as error:
                    _LOG.warning(
                        "model=%s: its Deployments are left to the garbage collector: %s", key, error
                    )
                await scaling.ended()
        finally:
            stop.cancel()
            for loop in loops:
                await loop.close()
            self._watcher.close()
            given.forget(key)
            given.telemetry.forget(key)

    def _has_ended(self) -> bool:
        return bool(self._stopped) or self._uid in self._given.leaving()

    async def _stop(self, loops: tuple[Rounds, ...]) -> None:
        # The other reason for the end comes with a wake.
        await self._stopped.wait()
        for loop in loops:
            loop.wake()

    async def _reconcile(self) -> float:
        given, key = self._given, self._key
        if self._is_missing:
            self._is_missing = await self._is_unknown()
            if self._is_missing:
                return _MISSING_SECONDS
        began = given.clock.monotonic_seconds()
        reason = ""
        try:
            with given.heartbeat.round("reconcile", key):
                after_seconds = await self._reconciler.round(self._look)
        except ModelMissing as missing:
            # The definition may be gone, or the API server not know it yet; making anything now would make it again and again.
            self._is_missing = True
            _LOG.warning("model=%s is not known to the API server, nothing is made for it: %s", key, missing)
            return _MISSING_SECONDS
        except Exception as error:
            reason = reason_of(error)
            raise
        finally:
            given.telemetry.reconciled(given.clock.monotonic_seconds() - began, reason)
        return given.resync_seconds if after_seconds is None else after_seconds

    async def _scale(self) -> float:
        given, key = self._given, self._key
        try:
            with given.heartbeat.round("autoscale", key):
                after_seconds = await self._scaler.tick(self._body, self._observe())
        except Raced as race:
            # Nothing is lost by a short wait, and the watches catch up meanwhile.
            _LOG.info("model=%s scaling raced at %s: deciding again", key, race)
            return _RACED_SECONDS
        return given.resync_seconds if after_seconds is None else after_seconds

    async def _read(self) -> float:
        given, key = self._given, self._key
        observed = self._observe()
        with given.heartbeat.round("read-reports", key):
            is_new, after_seconds = await self._reader.round(observed)
            has_moved, again_seconds = await self._watcher.round(observed)
        if is_new or has_moved:
            given.reconcile_wakeups.wake(key)
        waits = [wait for wait in (after_seconds, again_seconds) if wait is not None]
        return min(waits, default=given.resync_seconds)

    def _look(self) -> View:
        return View(body=self._body, observed=self._observe(), profiles=profiles(self._indexes))

    def _observe(self) -> Any:
        return observe(self._key, self._indexes, self._given.gone())

    async def _is_unknown(self) -> bool:
        try:
            live = await self._given.cluster.read(model_ref(self._key))
        except ClusterError:
            return True
        return live is None or live["metadata"]["uid"] != self._uid

    def _reconcile_failed(self, error: Exception, failures: int) -> float:
        return self._tell_failure("reconciling", error, failures)

    def _scale_failed(self, error: Exception, failures: int) -> float:
        return self._tell_failure("scaling", error, failures)

    def _read_failed(self, error: Exception, failures: int) -> float:
        return self._tell_failure("reading reports", error, failures)

    def _tell_failure(self, what: str, error: Exception, failures: int) -> float:
        """A refusal of the API server in one line, anything else with its trace; returns seconds to wait."""
        wait_seconds = backoff_seconds(failures, self._given.clock.jitter())
        _LOG.error(
            "%s model=%s failed, again in %.1f s: %s: %s",
            what,
            self._key,
            wait_seconds,
            type(error).__name__,
            error,
            exc_info=error if reason_of(error) == INTERNAL else None,
        )
        return wait_seconds
