"""The activator: holds calls until Envoy knows a ready pod, and tells Envoy, the cluster and the operator what it must.

app.py builds it over the adapters; the gRPC services in runtime/ads_service.py and runtime/check_service.py call it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from atheria_gateway.core.demand import EnvoyCounters, demand_of
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.hold import Denial, HoldQueue, Refusal, hold_timeout
from atheria_gateway.core.mirror import content_of, gateway_slice, gateway_slice_name
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.release import ReleaseAction, ReleaseObservation, release_action
from atheria_gateway.core.routing import DataPlane
from atheria_gateway.core.wake import WakeObservation, decide_wake
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import (
    DemandPort,
    EnvoyPort,
    KubePort,
    Listed,
    ProbePort,
    ScaleTarget,
    Watched,
)
from atheria_gateway.runtime.pulse import Pulse
from atheria_gateway.runtime.world import World
from atheria_gateway.settings import Settings
from atheria_gateway.xds.ads_stream import AdsStream
from atheria_gateway.xds.cluster_names import pods_cluster
from atheria_gateway.xds.resources import EnvoyOptions, Snapshot, build_snapshot

_LOG = logging.getLogger(__name__)
REPORT_PERIOD_S = 1.0
MIRROR_PERIOD_S = 30.0
COUNTERS_VALID_S = 3.0
PROBE_PAUSE_S = 0.05


class Activator:
    """State and loops of one gateway process."""

    def __init__(
        self,
        *,
        settings: Settings,
        options: EnvoyOptions,
        kube: KubePort,
        envoy: EnvoyPort,
        probe: ProbePort,
        demand: DemandPort,
        measures: Measures,
    ) -> None:
        """Nothing runs before `run`."""
        self._settings = settings
        self._options = options
        self._kube = kube
        self._envoy = envoy
        self._probe = probe
        self._demand = demand
        self._measures = measures
        self.world = World()
        self.holds = HoldQueue(total_limit=settings.hold_limit)
        self.snapshot: Snapshot | None = None
        self._plane: DataPlane | None = None
        self.draining = False
        self.snapshot_changed = Pulse()
        self._release = Pulse()
        self._wake = Pulse()
        self._report = Pulse()
        self._mirror = Pulse()
        self._left = Pulse()
        self._stream: AdsStream | None = None
        self._woken_at_s: dict[ModelKey, float] = {}
        self._counters: Mapping[ModelKey, EnvoyCounters] = {}
        self._counters_at_s = float("-inf")
        self._envoy_answers = False

    async def run(self) -> None:
        """Run all loops until cancelled; the first failure of one ends all and is raised."""
        async with asyncio.TaskGroup() as tasks:
            for watched in Watched:
                tasks.create_task(self._follow(watched), name=f"follow-{watched}")
            tasks.create_task(self._wake_loop(), name="wake")
            tasks.create_task(self._report_loop(), name="report")
            tasks.create_task(self._mirror_loop(), name="mirror")

    @property
    def is_ready(self) -> bool:
        """Whether this gateway may take calls: the cluster is listed, and Envoy has acknowledged the routes."""
        return self._stream is not None and self._stream.is_routed and not self.draining

    @property
    def is_settled(self) -> bool:
        """Whether Envoy has confirmed all that this gateway knows."""
        stream = self._stream
        return stream is not None and stream.snapshot is self.snapshot and stream.is_settled

    # --- Envoy's side ---------------------------------------------------------------------------------------------

    def stream_opened(self, stream: AdsStream) -> None:
        """Envoy opened an ADS stream; the newest one counts for releases."""
        self._stream = stream

    def stream_closed(self, stream: AdsStream) -> None:
        """An ADS stream ended: what Envoy knows is unknown until it opens another."""
        if self._stream is stream:
            self._stream = None

    def acknowledged(self) -> None:
        """Envoy confirmed something: held calls look again."""
        self._release.send()

    async def hold(self, key: ModelKey, *, http: bool, attempt: int) -> Denial | None:
        """Hold one call until it may go on (None) or is refused. Cancel it to free its place."""
        deadline_s = time.monotonic() + self._settings.hold_s
        if not await self._listed_before(deadline_s):
            return hold_timeout(None, key, self._settings.hold_s)
        ticket = self.holds.admit(key, self.world.models.get(key), time.monotonic())
        if isinstance(ticket, Denial):
            self._measures.refused(key, ticket.refusal)
            return ticket
        self._measures.arrived(key)
        try:
            if self.holds.held(key) == 1:
                self._report.send()
            self._wake.send()
            denial = await self._wait(key, http=http, attempt=attempt, deadline_s=deadline_s)
            if denial is None:
                self._measures.released(key, time.monotonic() - ticket.since_s)
            else:
                self._measures.refused(key, denial.refusal)
            return denial
        finally:
            self.holds.leave(ticket)
            self._left.send()
            if self.holds.held(key) == 0:
                self._woken_at_s.pop(key, None)
                self._report.send()

    async def _listed_before(self, deadline_s: float) -> bool:
        while self.snapshot is None:
            if not await self.snapshot_changed.wait_until(deadline_s):
                return False
        return True

    async def _wait(self, key: ModelKey, *, http: bool, attempt: int, deadline_s: float) -> Denial | None:
        cluster = pods_cluster(key, http=http)
        while True:
            next_change = self._release.next()
            model = self.world.models.get(key)
            if model is None:
                return Denial(
                    refusal=Refusal.UNKNOWN_MODEL, message=f"model {key} was deleted while this call waited"
                )
            known = self._stream.acknowledged.get(cluster, frozenset()) if self._stream else frozenset()
            ready = self.world.ready_of(key)
            action = release_action(ReleaseObservation(ready=ready, acknowledged=known, attempt=attempt))
            if action is ReleaseAction.RELEASE:
                return None
            pause_until_s = deadline_s
            if action is ReleaseAction.PROBE_THEN_RELEASE:
                if await self._any_connects(known.intersection(ready)):
                    return None
                pause_until_s = min(deadline_s, time.monotonic() + PROBE_PAUSE_S)
            await Pulse.until(next_change, pause_until_s)
            if time.monotonic() >= deadline_s:
                return hold_timeout(self.world.models.get(key), key, self._settings.hold_s)

    async def _any_connects(self, endpoints: frozenset[Endpoint]) -> bool:
        results = await asyncio.gather(*(self._probe.connects(one) for one in sorted(endpoints)[:4]))
        return any(results)

    # --- the cluster's side -----------------------------------------------------------------------------------------

    async def _follow(self, watched: Watched) -> None:
        async for event in self._kube.follow(watched):
            self.world.take(watched, event)
            if isinstance(event, Listed):
                _LOG.info("listed %d %s", len(event.objects), watched.value)
            self._mirror.send()
            if watched is not Watched.PODS and self.world.is_complete:
                self._publish()

    def _publish(self) -> None:
        plane = self.world.data_plane()
        if plane != self._plane:
            self._plane = plane
            self.snapshot = build_snapshot(plane, self._options)
            self.snapshot_changed.send()
        self._release.send()
        self._wake.send()

    async def _wake_loop(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                asked = self._wake.next()
                for key in self.holds.waiting_models():
                    model = self.world.models.get(key)
                    now_s = time.monotonic()
                    last_s = self._woken_at_s.get(key)
                    if model is None:
                        continue
                    seen = WakeObservation(
                        held=self.holds.held(key),
                        ready_pods=len(self.world.ready_of(key)),
                        seconds_since_last_wake=None if last_s is None else now_s - last_s,
                    )
                    wake = decide_wake(model, seen, self._settings.wake_retry_s)
                    if wake is None:
                        continue
                    self._woken_at_s[key] = now_s
                    if wake.patch_model:
                        tasks.create_task(self._scale(ScaleTarget.MODEL, key, key))
                    if wake.deployment:
                        deployment = ModelKey(namespace=key.namespace, name=wake.deployment)
                        tasks.create_task(self._scale(ScaleTarget.DEPLOYMENT, deployment, key))
                pause_s = self._settings.wake_retry_s if self.holds.total else 3600.0
                await Pulse.until(asked, time.monotonic() + pause_s)

    async def _scale(self, target: ScaleTarget, name: ModelKey, model: ModelKey) -> None:
        try:
            changed = await self._kube.scale_from_zero(target, name)
        except OSError as error:
            _LOG.warning("waking %s by %s/%s failed, trying again: %s", model, target.value, name.name, error)
            return
        if changed:
            self._measures.woken(model)
            _LOG.info("woke %s: %s/%s scaled from 0 to 1", model, target.value, name.name)

    async def _mirror_loop(self) -> None:
        while True:
            changed = self._mirror.next()
            failed = False
            pods = tuple(self.world.gateway_pods.values())
            for model in tuple(self.world.models.values()):
                body = gateway_slice(model, pods)
                if body is None:
                    continue
                there = self.world.gateway_slices.get(
                    (model.key.namespace, gateway_slice_name(model.key.name))
                )
                if there is not None and content_of(there) == content_of(body):
                    continue
                try:
                    await self._kube.apply_slice(body)
                except OSError as error:
                    failed = True
                    _LOG.warning("writing the EndpointSlice of %s failed, trying again: %s", model.key, error)
            await Pulse.until(changed, time.monotonic() + (1.0 if failed else MIRROR_PERIOD_S))

    # --- the operator's side ----------------------------------------------------------------------------------------

    async def _report_loop(self) -> None:
        while True:
            edge = self._report.next()
            await self._read_counters()
            self._offer()
            await Pulse.until(edge, time.monotonic() + REPORT_PERIOD_S)
            # Many edges in a burst make one report.
            await asyncio.sleep(0.02)

    async def _read_counters(self) -> None:
        try:
            async with asyncio.timeout(1.0):
                self._counters = await self._envoy.counters()
        except (OSError, TimeoutError) as error:
            if self._envoy_answers:
                _LOG.warning("Envoy's admin interface does not answer: %s", error)
            self._envoy_answers = False
        else:
            self._counters_at_s = time.monotonic()
            self._envoy_answers = True

    def _offer(self) -> None:
        now_s = time.monotonic()
        models = tuple(self.world.models)
        if now_s - self._counters_at_s > COUNTERS_VALID_S:
            # Without Envoy's figures calls in flight are unknown; silence never scales down, a false zero would.
            models = self.holds.waiting_models()
        lines = demand_of(models, self.holds, self._counters, now_s)
        self._measures.seen(lines)
        if lines:
            self._demand.offer(lines)

    async def drain(self) -> None:
        """Leave: Envoy's health check fails, held calls are still served for at most `drain_s` seconds."""
        self.draining = True
        try:
            async with asyncio.timeout(1.0):
                await self._envoy.fail_health_check()
        except (OSError, TimeoutError) as error:
            _LOG.warning("could not fail Envoy's health check: %s", error)
        end_s = time.monotonic() + self._settings.drain_s
        while self.holds.total and await self._left.wait_until(end_s):
            pass
        _LOG.info("drained with %d held calls left", self.holds.total)
