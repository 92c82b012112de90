"""Calls that wait: who may, for how long, and who goes on next. The activator's loops tell it when to look again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.estimate import StartLog, estimate_ready, too_late
from atheria_gateway.core.hold import Denial, HoldQueue, Refusal, Ticket, handed_back, hold_timeout
from atheria_gateway.core.hold_reason import HoldReason, hold_reason
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.pace import Pace, capacity
from atheria_gateway.runtime.measures import Measures
from atheria_gateway.runtime.ports import ProbePort
from atheria_gateway.runtime.pulse import Pulse
from atheria_gateway.runtime.world import World
from atheria_gateway.settings import Settings
from atheria_gateway.xds.check_headers import HeldCall
from atheria_gateway.xds.cluster_names import pods_cluster

PROBE_PAUSE_S = 0.05
OLDEST = 8
"""Held calls of which one is named in logs."""
WANTED_S = 10.0
"""So long after a call that could not wait its model is still woken, should the first try fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A call that may go on."""

    ticket: int
    """Comes back with Envoy's report of the call's end."""
    held_s: float


@dataclass(slots=True, kw_only=True)
class _Waiter:
    call: HeldCall
    answer: asyncio.Future[Denial | None]


class Holding:
    """The held calls of one gateway."""

    def __init__(
        self,
        *,
        settings: Settings,
        world: World,
        probe: ProbePort,
        measures: Measures,
        acknowledged: Callable[[str], frozenset[Endpoint]],
    ) -> None:
        """`acknowledged` gives the pods that Envoy has confirmed for a cluster."""
        self._settings = settings
        self._world = world
        self._probe = probe
        self._measures = measures
        self._acknowledged = acknowledged
        self.queue = HoldQueue(
            total_limit=settings.hold_limit,
            bytes_limit=settings.hold_bytes,
            caller_share=settings.hold_caller_share,
            # Envoy may still report ends of calls that a predecessor released.
            last_number=int(time.time()) << 20,
        )
        self.starts = StartLog()
        self.pace = Pace()
        self.wake = Pulse()
        """Sent when a model may have to be woken."""
        self.edge = Pulse()
        """Sent when the first call of a model began to wait, or the last one left."""
        self.left = Pulse()
        """Sent when a call left."""
        self._looked = Pulse()
        self.is_ending = False
        """Whoever waits, or comes, is handed back."""
        self._waiting: dict[ModelKey, dict[int, _Waiter]] = {}
        self._wanted_until_s: dict[ModelKey, float] = {}
        self.scaled_at_ns: dict[ModelKey, int] = {}
        """When a model that somebody waits for was last scaled from zero, since 1970; the activator writes it."""

    async def hold(self, call: HeldCall) -> Released | Denial:
        """Hold one call until it may go on or is refused. Cancel it to free its place."""
        key = call.model
        now_s = time.monotonic()
        ending = self._handed_back(key) if self.is_ending else None
        answer = (
            ending
            or self._refused_at_once(call, now_s)
            or self.queue.admit(
                key, self._world.models.get(key), now_s, caller=call.caller, body_bytes=call.body_bytes
            )
        )
        if isinstance(answer, Denial):
            self._measures.refused(key, answer.refusal)
            return answer
        self._measures.arrived(key)
        is_released = False
        try:
            denial = await self._wait(call, answer)
            held_s = time.monotonic() - answer.since_s
            if denial is not None:
                self._measures.refused(key, denial.refusal)
                return denial
            self._measures.released(key, held_s, call.trace_id if call.is_sampled else "")
            is_released = True
            return Released(ticket=answer.number, held_s=call.age_s + held_s)
        finally:
            self._leave(answer)
            if not is_released:
                # It may have been let go on and then cancelled: its room is for the next.
                self.ended(answer.number)

    def reason_of(self, call: HeldCall) -> HoldReason:
        """Why this call does not go to a pod now."""
        model = self._world.models.get(call.model)
        return hold_reason(model, ready_pods=len(self._world.ready_of(call.model)), attempt=call.attempt)

    def trace_of(self, key: ModelKey) -> str:
        """The trace of a call that waits for a model, of the oldest few; empty for none."""
        oldest = islice(self._waiting.get(key, {}).values(), OLDEST)
        return next((one.call.trace_id for one in oldest if one.call.trace_id), "")

    def wanting(self, key: ModelKey, now_s: float) -> int:
        """Calls that want the model awake: those held, and one that was refused because it could not wait so long."""
        return self.queue.held(key) + (self._wanted_until_s.get(key, now_s) > now_s)

    def wanted_models(self) -> tuple[ModelKey, ...]:
        """Models that somebody waits for, or could not wait for."""
        now_s = time.monotonic()
        for key in [key for key, until_s in self._wanted_until_s.items() if until_s <= now_s]:
            del self._wanted_until_s[key]
        return tuple(dict.fromkeys((*self.queue.waiting_models(), *self._wanted_until_s)))

    def ended(self, ticket: int) -> None:
        """Envoy reports that a released call ended."""
        key = self.pace.ended(ticket, time.monotonic())
        if key is not None:
            self._step(key)

    def hand_back(self) -> int:
        """The process ends: refuse whoever waits, and from now on whoever comes; returns how many waited."""
        self.is_ending = True
        for key, waiting in self._waiting.items():
            for waiter in waiting.values():
                _answer(waiter, self._handed_back(key))
        self._looked.send()
        return self.queue.total

    def look(self) -> None:
        """Pods, models or what Envoy knows of them changed, or time passed: let go on who may."""
        now_s = time.monotonic()
        for key in self.starts.under_way():
            if key not in self._world.models:
                self.starts.forget(key)
            elif self._has_known_pod(key):
                self.starts.ready(key, now_s)
                self._wanted_until_s.pop(key, None)
        for key in tuple(self._waiting):
            self._step(key)
        self._looked.send()

    def _refused_at_once(self, call: HeldCall, now_s: float) -> Denial | None:
        model = self._world.models.get(call.model)
        if model is None or call.time_left_s is None or self._world.ready_of(call.model):
            return None
        if model.is_asleep:
            return None
        denial = too_late(
            model,
            estimate_ready(model, self.starts, now_s=now_s, now_unix_s=time.time()),
            call.time_left_s,
        )
        if denial is not None:
            self._wanted_until_s[call.model] = now_s + WANTED_S
            self.wake.send()
        return denial

    async def _wait(self, call: HeldCall, ticket: Ticket) -> Denial | None:
        key = call.model
        deadline_s = ticket.since_s + self._settings.hold_s - call.age_s
        waiter = _Waiter(call=call, answer=asyncio.get_running_loop().create_future())
        self._waiting.setdefault(key, {})[ticket.number] = waiter
        if self.queue.held(key) == 1:
            self.edge.send()
        self._step(key)
        if not waiter.answer.done():
            self.wake.send()
        try:
            async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
                denial = await waiter.answer
                if denial is None and call.attempt > 1:
                    denial = await self._connected(call)
                return denial
        except TimeoutError:
            ready = len(self._world.ready_of(key))
            return hold_timeout(self._world.models.get(key), key, self._settings.hold_s, ready)

    def _leave(self, ticket: Ticket) -> None:
        key = ticket.model
        waiting = self._waiting.get(key)
        if waiting is not None and waiting.pop(ticket.number, None) is not None and not waiting:
            del self._waiting[key]
        self.queue.leave(ticket)
        self.left.send()
        if self.queue.held(key) == 0:
            self.edge.send()

    def _step(self, key: ModelKey) -> None:
        """Let the oldest calls of a model go on, as many as its pods have room for."""
        waiting = self._waiting.get(key)
        if not waiting:
            return
        model = self._world.models.get(key)
        if model is None:
            gone = Denial(
                refusal=Refusal.UNKNOWN_MODEL, message=f"model {key} was deleted while this call waited"
            )
            for waiter in waiting.values():
                _answer(waiter, gone)
            return
        ready = self._world.ready_of(key)
        if not ready:
            return
        now_s = time.monotonic()
        # Only pods that Envoy has confirmed count: the others it does not know yet.
        limits = {
            http: capacity(
                model,
                len(self._acknowledged(pods_cluster(key, http=http)).intersection(ready)),
                self._world.ready_gateways,
            )
            for http in (False, True)
        }
        for number, waiter in waiting.items():
            if waiter.answer.done():
                continue
            limit = limits[waiter.call.http]
            if limit == 0:
                continue
            if not self.pace.may_release(key, limit, now_s):
                return
            self.pace.released(key, number, now_s)
            _answer(waiter, None)

    async def _connected(self, call: HeldCall) -> Denial | None:
        """Envoy tries this call again, so a pod that it knew failed: wait until one takes a connection."""
        while True:
            next_look = self._looked.next()
            if self.is_ending:
                return self._handed_back(call.model)
            if call.model not in self._world.models:
                return Denial(
                    refusal=Refusal.UNKNOWN_MODEL,
                    message=f"model {call.model} was deleted while this call waited",
                )
            known = self._acknowledged(pods_cluster(call.model, http=call.http))
            chosen = sorted(known.intersection(self._world.ready_of(call.model)))[:4]
            if any(await asyncio.gather(*(self._probe.connects(one, http=call.http) for one in chosen))):
                return None
            await Pulse.until(next_look, time.monotonic() + (PROBE_PAUSE_S if chosen else 3600.0))

    def _handed_back(self, key: ModelKey) -> Denial:
        return handed_back(key, len(self._world.ready_of(key)))

    def _has_known_pod(self, key: ModelKey) -> bool:
        known = self._acknowledged(pods_cluster(key, http=False))
        return not known.isdisjoint(self._world.ready_of(key))


def _answer(waiter: _Waiter, denial: Denial | None) -> None:
    if not waiter.answer.done():
        waiter.answer.set_result(denial)
