"""The activator: holds calls until Envoy knows a ready pod, and tells Envoy, the cluster and the operator what it must.

app.py builds it over the adapters; the gRPC services in runtime/ads_service.py and runtime/check_service.py call it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from atheria_gateway.core.demand import EnvoyCounters, demand_of
from atheria_gateway.core.detain import Load, is_detained
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.fleet import Calls, Fleet
from atheria_gateway.core.hold import Denial, HoldQueue, handed_back, hold_timeout
from atheria_gateway.core.mirror import content_of, gateway_slice, gateway_slice_name, protocols_of
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.retired import Ends, ends_of_shares, retired_of, with_inherited
from atheria_gateway.core.routing import DataPlane
from atheria_gateway.core.wake import WakeObservation, decide_wake
from atheria_gateway.runtime.holding import Holding, Released
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import (
    DemandPort,
    EnvoyPort,
    KubePort,
    Listed,
    ProbePort,
    ScaleTarget,
    StandbyPort,
    Watched,
)
from atheria_gateway.runtime.pulse import Pulse
from atheria_gateway.runtime.world import World
from atheria_gateway.settings import Settings
from atheria_gateway.xds.ads_stream import AdsStream
from atheria_gateway.xds.check_headers import HeldCall
from atheria_gateway.xds.resources import EnvoyOptions, Snapshot, build_snapshot

_LOG = logging.getLogger(__name__)
REPORT_PERIOD_S = 1.0
MIRROR_PERIOD_S = 30.0
COUNTERS_VALID_S = 3.0
LOOK_PERIOD_S = 0.5
"""How often held calls are looked at again without a change: the pace of releases has a clock."""
RATE_PERIOD_S = 0.5
"""Arrivals a second are counted over at least so long."""
MEMORY_PERIOD_S = 0.1
"""How often Envoy's memory is read while calls are held."""
NEXT_POD_S = 2.0
"""A pod in standby that has not answered by then is not waited for alone: the next one is asked too."""
RETRIED_S = 60.0
"""What a call may still be tried again for when its hold is over."""


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
        standby: StandbyPort | None = None,
    ) -> None:
        """Nothing runs before `run`."""
        self._settings = settings
        self._options = options
        self._kube = kube
        self._envoy = envoy
        self._demand = demand
        self._standby = standby
        self._rousing: set[ModelKey] = set()
        self._measures = measures
        self.world = World(has_certificate=settings.pod_tls is not None, has_live_page=settings.has_live_page)
        self.holding = Holding(
            settings=settings,
            world=self.world,
            probe=probe,
            measures=measures,
            acknowledged=self._acknowledged,
        )
        self.snapshot: Snapshot | None = None
        self._plane: DataPlane | None = None
        self.draining = False
        self.snapshot_changed = Pulse()
        self._mirror = Pulse()
        self._stream: AdsStream | None = None
        self._woken_at_s: dict[ModelKey, float] = {}
        self._counted_wakes: set[ModelKey] = set()
        self._counters: Mapping[ModelKey, EnvoyCounters] = {}
        self._counters_at_s = float("-inf")
        self._rated: Mapping[ModelKey, EnvoyCounters] = {}
        self._rated_at_s = time.monotonic()
        self._arrivals_per_s: dict[ModelKey, float] = {}
        self._detained: frozenset[ModelKey] = frozenset()
        self._share_ends: Ends = {}
        self._idle_bytes = 0
        self._envoy_answers = False

    async def run(self) -> None:
        """Run all loops until cancelled; the first failure of one ends all and is raised."""
        async with asyncio.TaskGroup() as tasks:
            for watched in Watched:
                tasks.create_task(self._follow(watched), name=f"follow-{watched}")
            tasks.create_task(self._wake_loop(), name="wake")
            tasks.create_task(self._report_loop(), name="report")
            tasks.create_task(self._mirror_loop(), name="mirror")
            tasks.create_task(self._look_loop(), name="look")

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

    def inherit(self, revisions: Iterable[tuple[ModelKey, str]]) -> None:
        """Envoy has clusters of these revisions, perhaps from an activator before this one: calls in them may be tried again."""
        ends = with_inherited(self._share_ends, revisions, time.monotonic())
        if ends != self._share_ends:
            self._share_ends = ends
            if self.world.is_complete:
                self._publish()

    def acknowledged(self) -> None:
        """Envoy confirmed something: held calls look again."""
        self.holding.look()

    def _acknowledged(self, cluster: str) -> frozenset[Endpoint]:
        return self._stream.acknowledged.get(cluster, frozenset()) if self._stream else frozenset()

    # --- held calls -----------------------------------------------------------------------------------------------

    @property
    def holds(self) -> HoldQueue:
        """Who is held."""
        return self.holding.queue

    async def hold(self, call: HeldCall) -> Released | Denial:
        """Hold one call until it may go on or is refused. Cancel it to free its place."""
        deadline_s = time.monotonic() + self._settings.hold_s - call.age_s
        while self.snapshot is None:
            if self.holding.is_ending:
                return handed_back(call.model, None)
            if not await self.snapshot_changed.wait_until(deadline_s):
                return hold_timeout(None, call.model, self._settings.hold_s)
        return await self.holding.hold(call)

    def call_ended(self, ticket: int) -> None:
        """Envoy reports that a released call ended."""
        self.holding.ended(ticket)

    async def _look_loop(self) -> None:
        looked_s = 0.0
        while True:
            if not self.holds.total:
                await self.holding.edge.wait_until(time.monotonic() + REPORT_PERIOD_S)
            await self._measure_bytes()
            now_s = time.monotonic()
            if self.holds.total and now_s - looked_s >= LOOK_PERIOD_S:
                looked_s = now_s
                self.holding.look()
            await asyncio.sleep(MEMORY_PERIOD_S)

    async def _measure_bytes(self) -> None:
        try:
            allocated = await self._envoy.allocated_bytes()
        except OSError:
            # The report loop tells of an Envoy that does not answer.
            return
        if not self.holds.total:
            self._idle_bytes = allocated
        self.holds.measured_bytes = max(0, allocated - self._idle_bytes) if self.holds.total else 0

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
        self._detain()
        plane = self.world.data_plane(self._detained)
        keep_s = self._settings.hold_s + RETRIED_S
        self._share_ends = ends_of_shares(
            self._share_ends, plane.shares, plane.routing.models, time.monotonic(), keep_s
        )
        plane = replace(plane, retired=retired_of(self._share_ends))
        if plane != self._plane:
            self._plane = plane
            self.snapshot = build_snapshot(plane, self._options)
            self.snapshot_changed.send()
        self.holding.look()
        self.holding.wake.send()

    def _detain(self) -> bool:
        """Decide which models' calls pass the hold although they have pods; whether that changed."""
        gateways = self.world.ready_gateways
        active = {key: one.active_requests for key, one in self._counters.items() if one.active_requests}
        detained = set()
        for key in {*self._detained, *self.holds.waiting_models(), *active}:
            model = self.world.models.get(key)
            if model is None:
                continue
            held = self.holds.held(key)
            load = Load(
                held=held,
                in_flight=max(0, active.get(key, 0) - held),
                ready_pods=len(self.world.ready_of(key)),
                arrivals_per_second=self._arrivals_per_s.get(key, 0.0),
            )
            if is_detained(model, load, was=key in self._detained, gateways=gateways):
                detained.add(key)
        before, self._detained = self._detained, frozenset(detained)
        return self._detained != before

    async def _wake_loop(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                asked = self.holding.wake.next()
                wanted = self.holding.wanted_models()
                for key in [key for key in self._woken_at_s if key not in wanted]:
                    del self._woken_at_s[key]
                    self._counted_wakes.discard(key)
                    self.holding.scaled_at_ns.pop(key, None)
                for key in wanted:
                    model = self.world.models.get(key)
                    now_s = time.monotonic()
                    last_s = self._woken_at_s.get(key)
                    if model is None:
                        continue
                    seen = WakeObservation(
                        held=self.holding.wanting(key, now_s),
                        ready_pods=len(self.world.ready_of(key)),
                        seconds_since_last_wake=None if last_s is None else now_s - last_s,
                    )
                    wake = decide_wake(model, seen, self._settings.wake_retry_s)
                    if wake is None:
                        continue
                    if last_s is None:
                        self._counted_wakes.discard(key)
                    self._woken_at_s[key] = now_s
                    if wake.patch_model:
                        tasks.create_task(self._scale(ScaleTarget.MODEL, key, key))
                    if wake.deployment:
                        deployment = ModelKey(namespace=key.namespace, name=wake.deployment)
                        # Both at once are one wake.
                        scaling = self._scale(
                            ScaleTarget.DEPLOYMENT, deployment, key, counts=not wake.patch_model
                        )
                        tasks.create_task(scaling)
                    if self._standby and (model.sleeps or model.is_asleep) and key not in self._rousing:
                        self._rousing.add(key)
                        tasks.create_task(self._rouse(key, self._standby))
                pause_s = self._settings.wake_retry_s if wanted else 3600.0
                await Pulse.until(asked, time.monotonic() + pause_s)

    async def _scale(
        self, target: ScaleTarget, name: ModelKey, model: ModelKey, *, counts: bool = True
    ) -> None:
        try:
            changed = await self._kube.scale_from_zero(target, name)
        except OSError as error:
            _LOG.warning("waking %s by %s/%s failed, trying again: %s", model, target.value, name.name, error)
            return
        if changed:
            # The Deployment may come later, e.g. when its name was not known yet: that is the same wake.
            if counts and model not in self._counted_wakes:
                self._counted_wakes.add(model)
                self._measures.woken(model)
            self.holding.scaled_at_ns[model] = time.time_ns()
            known = self.world.models.get(model)
            if known is None or not known.is_asleep:
                # A pod that wakes is no start: its seconds say nothing about the next one.
                self.holding.starts.woken(model, time.monotonic())
            _LOG.info(
                "woke %s: %s/%s scaled from 0 to 1",
                *(model, target.value, name.name),
                extra={"trace_id": self.holding.trace_of(model)},
            )

    async def _rouse(self, key: ModelKey, standby: StandbyPort) -> None:
        """Wake one pod in standby; it counts as soon as it answers. The autoscaler wakes more where more are needed."""
        began_s = time.monotonic()
        waiting = list(self.world.unready_of(key))
        asked: dict[asyncio.Task[bool], Endpoint] = {}
        try:
            while waiting or asked:
                if waiting:
                    endpoint = waiting.pop(0)
                    asked[asyncio.create_task(standby.wake(endpoint, key))] = endpoint
                done, _ = await asyncio.wait(
                    asked, timeout=NEXT_POD_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    endpoint = asked.pop(task)
                    if task.result():
                        self._roused(key, endpoint, began_s)
                        return
        finally:
            for task in asked:
                task.cancel()
            self._rousing.discard(key)

    def _roused(self, key: ModelKey, endpoint: Endpoint, began_s: float) -> None:
        now_s = time.monotonic()
        self._measures.roused(key, now_s - began_s)
        self.world.roused.add(key, endpoint, now_s)
        _LOG.info("woke %s: its pod %s is ready after %.3f s", key, endpoint.address, now_s - began_s)
        self._publish()

    async def _mirror_loop(self) -> None:
        looked_s = float("-inf")
        while True:
            changed = self._mirror.next()
            failed = False
            now_s = time.monotonic()
            if is_thorough := now_s - looked_s >= MIRROR_PERIOD_S:
                looked_s = now_s
            pods = tuple(self.world.gateway_pods.values())
            for model in tuple(self.world.models.values()):
                body = gateway_slice(model, pods, has_tls=self._settings.tls is not None)
                if body is None:
                    continue
                there = self.world.gateway_slices.get(
                    (model.key.namespace, gateway_slice_name(model.key.name))
                )
                if (
                    there is not None
                    and content_of(there) == content_of(body)
                    and not (is_thorough and protocols_of(there) != protocols_of(body))
                ):
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
            edge = self.holding.edge.next()
            await self._read_counters()
            expired = self.world.roused.expire(time.monotonic())
            if self.world.is_complete and (self._detain() or expired):
                self._publish()
            self._offer()
            await Pulse.until(edge, time.monotonic() + REPORT_PERIOD_S)
            # Many edges in a burst make one report.
            await asyncio.sleep(0.02)

    async def _read_counters(self) -> None:
        try:
            counters = await self._envoy.counters()
        except OSError as error:
            if self._envoy_answers:
                _LOG.warning("Envoy's admin interface does not answer: %s", error)
            self._envoy_answers = False
        else:
            self._counters = counters
            self._counters_at_s = time.monotonic()
            self._envoy_answers = True
            self._rate(counters)

    def _rate(self, counters: Mapping[ModelKey, EnvoyCounters]) -> None:
        now_s = time.monotonic()
        passed_s = now_s - self._rated_at_s
        if passed_s < RATE_PERIOD_S:
            return
        before, self._rated, self._rated_at_s = self._rated, counters, now_s
        self._arrivals_per_s = {
            key: max(0, one.arrivals_total - before[key].arrivals_total) / passed_s
            for key, one in counters.items()
            if key in before
        }

    def _offer(self) -> None:
        now_s = time.monotonic()
        models = tuple(self.world.models)
        if now_s - self._counters_at_s > COUNTERS_VALID_S:
            # Without Envoy's figures calls in flight are unknown; silence never scales down, a false zero would.
            models = self.holds.waiting_models()
        lines = demand_of(models, self.holds, self._counters, now_s, self.holding.trace_of)
        self._measures.seen(lines, self.holds.bytes_in_use)
        if lines:
            self._demand.offer(lines)

    async def drain(self) -> None:
        """Leave: Envoy's health check fails, calls are held for `drain_s` seconds more, and those that wait then are handed back,
        as are those that come within `hand_back_s`.

        Also where nobody waits: Envoy stays as long, and over a connection that lasts a call may still come.
        """
        self.draining = True
        try:
            await self._envoy.fail_health_check()
        except OSError as error:
            _LOG.warning("could not fail Envoy's health check: %s", error)
        await asyncio.sleep(self._settings.drain_s)
        _LOG.info("drained with %d held calls handed back", self.holding.hand_back())
        # For those that wait for the cluster's first list.
        self.snapshot_changed.send()
        await asyncio.sleep(self._settings.hand_back_s)

    # --- the live page ----------------------------------------------------------------------------------------------

    def fleet(self) -> Fleet:
        """What the live page shows now."""
        now_s = time.monotonic()
        is_known = now_s - self._counters_at_s <= COUNTERS_VALID_S
        lines = demand_of(tuple(self.world.live_models), self.holds, self._counters, now_s)
        return Fleet(
            unix_s=time.time(),
            pod=self._settings.pod_name,
            gateways=self.world.ready_gateways,
            is_ready=self.is_ready,
            models=self.world.live_models,
            calls={
                line.model: Calls(held=line.held, in_flight=line.in_flight if is_known else None)
                for line in lines
            },
        )
