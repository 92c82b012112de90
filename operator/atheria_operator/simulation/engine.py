"""Discrete events: calls, slots, pods, reports, decisions and faults on one injected clock. Run by replay and the benchmark.

The same calls, world, policy and seed give the same outcome on every machine. The data plane is the same for each policy: first
come first served, a call goes to the ready pod with the fewest calls (world.Queue says where it waits).
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.outcome import Outcome
from atheria_operator.simulation.policy import Fleet, GatewayFigures, Policy, Sample
from atheria_operator.simulation.world import Fault, FaultKind, Queue, World

_NEVER: Final = float("inf")


class _Event(IntEnum):
    """In the order in which events of one instant happen."""

    SERVED = 0
    READY = 1
    APPLY = 2
    FAULT = 3
    REPORT = 4
    DELIVERED = 5
    TICK = 6
    GONE = 7


class _Pod:
    """One pod: who uses its slots, and since when it is paid for."""

    __slots__ = (
        "created_seconds", "gateways", "is_leaving", "is_ready", "running", "stays_until_seconds", "waiting"
    )  # fmt: skip

    def __init__(self, created_seconds: float) -> None:
        self.created_seconds = created_seconds
        self.is_ready = False
        self.is_leaving = False
        self.stays_until_seconds = 0.0
        self.running = 0
        self.waiting: deque[int] = deque()
        # Calls, running and waiting, by the gateway that sent them.
        self.gateways: dict[int, int] = {}

    @property
    def calls(self) -> int:
        """Running and waiting."""
        return self.running + len(self.waiting)


class Simulation:
    """One run; use once."""

    def __init__(self, *, calls: Sequence[Call], world: World, policy: Policy, seed: int = 0) -> None:
        """`calls` in order of arrival."""
        self._calls = calls
        self._world = world
        self._policy = policy
        # Only the length of starts is drawn, one a pod, so that policies that start the same pods see the same lengths.
        self._random = random.Random(seed)  # noqa: S311 - spreads starts, keeps no secret
        self._heap: list[tuple[float, int, int, Any]] = []
        self._order = 0
        self._now = 0.0
        self._pods: list[_Pod] = []
        self._queue: deque[int] = deque()
        self._requested = 0
        self._requested_area = 0.0
        self._requested_at = 0.0
        self._held = [0] * world.gateways
        self._in_flight = [0] * world.gateways
        self._arrivals = [0] * world.gateways
        self._silent_until = [0.0] * world.gateways
        self._in_system = 0
        self._area = 0.0
        self._area_at = 0.0
        self._sampled_at = 0.0
        self._first_tokens: list[float] = []
        self._waits: list[float] = []
        self._last_start_seconds: float | None = None
        self._lost = 0
        self._gpu_seconds = 0.0
        self._busy_slot_seconds = 0.0
        self._starts = 0
        self._wakes = 0
        self._cold_calls = 0
        self._scalings = 0
        self._flips = 0
        self._direction = 0

    def run(self) -> Outcome:
        """To the end of the calls and the tail."""
        world = self._world
        first = max(self._policy.first_replicas, world.first_replicas)
        self._requested = min(world.max_replicas, first)
        for _ in range(self._requested):
            pod = _Pod(0.0)
            pod.is_ready = True
            self._pods.append(pod)
        for fault in world.faults:
            self._push(fault.seconds, _Event.FAULT, fault)
        self._push(world.report_seconds, _Event.REPORT, None)
        self._push(self._policy.tick_seconds, _Event.TICK, None)
        last = self._calls[-1].arrival_seconds if self._calls else 0.0
        end = last + world.tail_seconds
        coming = 0
        while True:
            arrival = self._calls[coming].arrival_seconds if coming < len(self._calls) else _NEVER
            event = self._heap[0][0]
            moment = min(arrival, event)
            if moment > end and not self._in_system:
                break
            self._now = moment
            if arrival < event:
                self._arrive(coming)
                coming += 1
                continue
            _, kind, _, payload = heapq.heappop(self._heap)
            self._handle(_Event(kind), payload)
        self._now = max(self._now, end)
        self._gpu_seconds += sum(self._now - pod.created_seconds for pod in self._pods)
        self._waits.sort()
        return Outcome(
            policy=self._policy.name,
            calls=len(self._calls),
            waits_seconds=tuple(self._waits),
            lost=self._lost,
            gpu_seconds=self._gpu_seconds,
            busy_slot_seconds=self._busy_slot_seconds,
            starts=self._starts,
            wakes=self._wakes,
            cold_calls=self._cold_calls,
            scalings=self._scalings,
            flips=self._flips,
            end_seconds=self._now,
            requested_seconds=self._requested_area + self._requested * (self._now - self._requested_at),
        )

    def _push(self, seconds: float, event: _Event, payload: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (seconds, int(event), self._order, payload))

    def _handle(self, event: _Event, payload: Any) -> None:
        match event:
            case _Event.SERVED:
                self._served(*payload)
            case _Event.READY:
                self._ready(payload)
            case _Event.APPLY:
                self._apply()
            case _Event.FAULT:
                self._fail(payload)
            case _Event.REPORT:
                # Nothing else happens where no pod is asked for: what has waited too long leaves here.
                self._dispatch()
                self._report()
                self._push(self._now + self._world.report_seconds, _Event.REPORT, None)
            case _Event.DELIVERED:
                self._policy.see(payload)
            case _Event.GONE:
                if payload in self._pods and payload.calls == 0:
                    self._remove(payload)
            case _Event.TICK:
                self._request(self._policy.decide(self._fleet(), self._now))
                self._push(self._now + self._policy.tick_seconds, _Event.TICK, None)

    def _arrive(self, index: int) -> None:
        gateway = index % self._world.gateways
        was_empty = not self._in_system
        self._grow_area()
        self._arrivals[gateway] += 1
        self._held[gateway] += 1
        self._in_system += 1
        self._queue.append(index)
        if not self._has_ready_pod():
            self._cold_calls += 1
        if self._requested == 0:
            # An edge: whatever the policy, its gateway or proxy has just seen the call.
            self._wakes += 1
            self._policy.see(self._sample())
            self._request(self._policy.wake(self._fleet(), self._now))
        elif was_empty:
            self._report()
        self._dispatch()

    def _dispatch(self) -> None:
        """Hand over what the gateways hold, as far as pods take it; what has waited too long is lost."""
        queue = self._queue
        while queue:
            gateway = queue[0] % self._world.gateways
            if self._is_too_old(queue[0]):
                queue.popleft()
                self._grow_area()
                self._held[gateway] -= 1
                self._in_system -= 1
                self._lost += 1
                continue
            pod = self._freest()
            if pod is None:
                return
            self._held[gateway] -= 1
            self._in_flight[gateway] += 1
            pod.gateways[gateway] = pod.gateways.get(gateway, 0) + 1
            pod.waiting.append(queue.popleft())
            self._work(pod)

    def _work(self, pod: _Pod) -> None:
        """Fill the pod's free slots with the calls that wait in it."""
        while pod.waiting and pod.running < self._world.slots_per_pod:
            index = pod.waiting.popleft()
            gateway = index % self._world.gateways
            if self._is_too_old(index):
                self._leave(pod, gateway)
                self._lost += 1
                continue
            call = self._calls[index]
            wait = self._now - call.arrival_seconds
            pod.running += 1
            self._first_tokens.append(wait + call.first_token_seconds)
            self._busy_slot_seconds += call.service_seconds
            self._push(self._now + call.service_seconds, _Event.SERVED, (pod, gateway, wait))

    def _is_too_old(self, index: int) -> bool:
        return self._now - self._calls[index].arrival_seconds > self._world.patience_seconds

    def _freest(self) -> _Pod | None:
        """The ready pod with the fewest calls; None also where its slots are taken and the gateways keep the queue."""
        best: _Pod | None = None
        fewest = 0
        for pod in self._pods:
            if pod.is_ready and not pod.is_leaving:
                calls = pod.running + len(pod.waiting)
                if best is None or calls < fewest:
                    best, fewest = pod, calls
        if best is None or (self._world.queue is Queue.GATEWAY and fewest >= self._world.slots_per_pod):
            return None
        return best

    def _leave(self, pod: _Pod, gateway: int) -> None:
        self._grow_area()
        self._in_system -= 1
        pod.gateways[gateway] -= 1
        self._in_flight[gateway] -= 1

    def _served(self, pod: _Pod, gateway: int, wait_seconds: float) -> None:
        if pod not in self._pods:
            return
        self._leave(pod, gateway)
        self._waits.append(wait_seconds)
        pod.running -= 1
        self._work(pod)
        if pod.is_leaving and pod.calls == 0 and self._now >= pod.stays_until_seconds:
            self._remove(pod)
        self._dispatch()
        if not self._in_system:
            self._report()

    def _ready(self, pod: _Pod) -> None:
        if pod in self._pods and not pod.is_leaving:
            pod.is_ready = True
            self._last_start_seconds = self._now - pod.created_seconds
            self._dispatch()

    def _remove(self, pod: _Pod) -> None:
        self._pods.remove(pod)
        self._gpu_seconds += self._now - pod.created_seconds

    def _create(self) -> None:
        spread = self._world.start_spread
        seconds = self._world.start_seconds * (1 + spread * (2 * self._random.random() - 1))
        if self._starts < len(self._world.starts_seconds):
            seconds = self._world.starts_seconds[self._starts]
        pod = _Pod(self._now)
        self._pods.append(pod)
        self._starts += 1
        self._push(self._now + seconds, _Event.READY, pod)

    def _apply(self) -> None:
        """As a Deployment does: missing pods are created; of too many go those that are not ready, then the idlest."""
        staying = [pod for pod in self._pods if not pod.is_leaving]
        for _ in range(self._requested - len(staying)):
            self._create()
        surplus = len(staying) - self._requested
        if surplus > 0:
            staying.sort(key=lambda pod: (pod.is_ready, pod.calls, -pod.created_seconds))
            for pod in staying[:surplus]:
                pod.is_leaving = True
                if self._world.end_seconds > 0:
                    pod.stays_until_seconds = self._now + self._world.end_seconds
                    self._push(pod.stays_until_seconds, _Event.GONE, pod)
                elif pod.calls == 0:
                    self._remove(pod)

    def _request(self, replicas: int) -> None:
        replicas = min(self._world.max_replicas, max(0, replicas))
        if replicas == self._requested:
            return
        direction = 1 if replicas > self._requested else -1
        self._scalings += 1
        self._flips += self._direction == -direction
        self._direction = direction
        self._requested_area += self._requested * (self._now - self._requested_at)
        self._requested_at = self._now
        self._requested = replicas
        self._push(self._now + self._world.actuation_seconds, _Event.APPLY, None)

    def _fleet(self) -> Fleet:
        staying = [pod for pod in self._pods if not pod.is_leaving]
        ages = tuple(self._now - pod.created_seconds for pod in staying if not pod.is_ready)
        return Fleet(
            requested=self._requested,
            ready=len(staying) - len(ages),
            starting_ages_seconds=ages,
            last_start_seconds=self._last_start_seconds,
        )

    def _figures(self, gateway: int) -> GatewayFigures | None:
        if self._now < self._silent_until[gateway]:
            return None
        held, in_flight = self._held[gateway], self._in_flight[gateway]
        if self._has_ready_pod():
            held, in_flight = 0, held + in_flight
        return GatewayFigures(held=held, in_flight=in_flight, arrivals_total=self._arrivals[gateway])

    def _has_ready_pod(self) -> bool:
        return any(pod.is_ready and not pod.is_leaving for pod in self._pods)

    def _grow_area(self) -> None:
        self._area += self._in_system * (self._now - self._area_at)
        self._area_at = self._now

    def _sample(self) -> Sample:
        self._grow_area()
        span = self._now - self._sampled_at
        sample = Sample(
            seconds=self._now,
            gateways=tuple(self._figures(gateway) for gateway in range(self._world.gateways)),
            mean_calls=self._area / span if span > 0 else float(self._in_system),
            span_seconds=span,
            first_token_seconds=tuple(self._first_tokens),
        )
        self._area = 0.0
        self._sampled_at = self._now
        self._first_tokens.clear()
        return sample

    def _report(self) -> None:
        self._push(self._now + self._world.report_delay_seconds, _Event.DELIVERED, self._sample())

    def _fail(self, fault: Fault) -> None:
        match fault.kind:
            case FaultKind.AUTOSCALER_RESTART:
                self._policy.restart()
            case FaultKind.GATEWAY_SILENT:
                self._silent_until[fault.gateway % self._world.gateways] = self._now + fault.for_seconds
            case FaultKind.POD_CRASH:
                ready = [pod for pod in self._pods if pod.is_ready]
                if not ready:
                    return
                pod = max(ready, key=lambda one: one.calls)
                self._grow_area()
                for gateway, calls in pod.gateways.items():
                    self._in_flight[gateway] -= calls
                self._in_system -= pod.calls
                self._lost += pod.calls
                self._remove(pod)
                self._apply()
