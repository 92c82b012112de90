"""The autoscaling loop of one model: observe, decide, write both numbers of pods.

Who writes: the model's spec.replicas and its Deployments' spec.replicas belong to this loop and, from 0 to 1, to the
gateways. So a number is only written after a fresh read has shown the value that the decision saw, and at that version:
a wake that happened meanwhile is a conflict, and conflicts are decided anew.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, ModelKey, Problem, ScalingClass
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.interop.offer import offer_of
from atheria_operator.domain.observed import Body, Observed, replicas_of
from atheria_operator.domain.pods import Told, is_ready, pods_of
from atheria_operator.domain.scaling.decide import decide
from atheria_operator.domain.scaling.decision import Decision, ScalingReason
from atheria_operator.domain.scaling.observe import first_seen, observation_of
from atheria_operator.domain.scaling.state import ScalingState
from atheria_operator.domain.status.rest import Rest
from atheria_operator.runtime.deletion_costs import DeletionCosts
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.offers import Offers
from atheria_operator.runtime.ports import (
    CONFLICT,
    Clock,
    ClusterError,
    ClusterWriter,
    DemandSource,
    EventSink,
    ObjectRef,
    PodReports,
    Raced,
    Scale,
    StandbyOrders,
    Telemetry,
)
from atheria_operator.runtime.standby import Standby

_LOG = logging.getLogger(__name__)
RING: Final = 10
"""Decisions kept in the status."""
TICK_SECONDS: Final = 1.0
"""Time between two looks while an idle clock or a scale-down delay runs."""
SILENT_SECONDS: Final = 5.0
"""The same while no gateway speaks: no clock runs then, and a call wakes the loop."""


SCHEDULE_SECONDS: Final = 15.0
"""The same while only the clock on the wall can change anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPorts:
    """What the loop needs from outside."""

    cluster: ClusterWriter
    demand: DemandSource
    clock: Clock
    events: EventSink
    telemetry: Telemetry
    pods: PodReports
    offers: Offers = field(default_factory=Offers)
    """What other autoscalers are told."""
    standby: StandbyOrders | None = None
    """None = no pod is put to sleep."""


class Scaler:
    """Scales one model for as long as it exists in this operator."""

    def __init__(
        self,
        key: ModelKey,
        ports: ScalingPorts,
        decisions: deque[Mapping[str, Any]],
        meter: Meter,
        told: Mapping[str, Told] | None = None,
        rests: MutableMapping[str, Rest] | None = None,
    ) -> None:
        """`decisions` is the ring that the status shows, newest first, `meter` its sums, `told` what is known of starting pods, `rests` of
        sleeping ones; shared with the reconciler."""
        self._key = key
        self._ports = ports
        self._decisions = decisions
        self._meter = meter
        self._told: Mapping[str, Told] = {} if told is None else told
        self._state = ScalingState(service=meter.service)
        self._standby = (
            Standby(key, ports.standby, ports.clock, {} if rests is None else rests)
            if ports.standby
            else None
        )
        self._starting: dict[str, float] = {}
        self._lacks_nodes = False
        self._class: ScalingClass | None = None
        self._half_written: tuple[int, Decision] | None = None
        self._told_change: tuple[int, int, ScalingReason] | None = None
        """The last one that was told, while the pods are still as before it: one that refuses to sleep is asked again and again."""
        self._costs = DeletionCosts(key, ports.cluster, ports.pods)
        self._parsed: tuple[str, ModelIntent | Problem] | None = None
        # What this loop wrote itself, until the watches have caught up.
        self._written: dict[ObjectRef, Scale] = {}

    async def tick(self, body: Body, observed: Observed) -> float | None:
        """One look and at most one change. Raises ClusterError, and Raced when somebody else wrote first.

        Returns the seconds after which to look again, None for the next wake: a model that is as small as it may be and
        that nobody calls has no clock running.
        """
        intent = self._parse(body)
        if isinstance(intent, Problem):
            # Nobody looks at its calls any more: others keep what there is.
            self._ports.offers.put(self._key, None)
            return None
        deployments = observed.deployments(intent.uid)
        if not deployments:
            return None
        model_ref = ObjectRef(
            api_version=names.API_VERSION,
            kind=names.MODEL_KIND,
            namespace=self._key.namespace,
            name=self._key.name,
        )
        seen = {model_ref: self._newest(model_ref, _scale(body, intent.requested_replicas))}
        for deployment in deployments.values():
            ref = ObjectRef(
                api_version="apps/v1",
                kind="Deployment",
                namespace=self._key.namespace,
                name=str(deployment["metadata"]["name"]),
            )
            seen[ref] = self._newest(ref, _scale(deployment, replicas_of(deployment)))
        self._written = {ref: scale for ref, scale in self._written.items() if ref in seen}
        status = body.get("status") or {}
        standby = self._standby
        if standby and not intent.scaling.sleeps and not standby.has_resting:
            standby = None
        asleep: tuple[Body, ...] = ()
        if standby:
            is_expected = seen[model_ref].replicas <= sum(is_ready(pod) for pod in observed.pods)
            asleep = standby.sleeping(observed.pods, self._told, is_expected=is_expected)
        running = [
            # Pods that sleep are there for nobody: they count once they are awake.
            max(0, scale.replicas - sum(pod in asleep for pod in self._pods(observed, ref)))
            for ref, scale in seen.items()
            if ref != model_ref and may_run(status, ref.name) is not False
        ]
        actual = max(running, default=0)
        if self._told_change and actual != self._told_change[0]:
            self._told_change = None
        await self._adopt(model_ref, seen, actual, intent)
        requested = seen[model_ref].replicas
        if requested != intent.requested_replicas:
            intent = replace(intent, requested_replicas=requested)
        demand = self._ports.demand.demand(self._key)
        self._meter.look(
            pods=len(observed.pods),
            # One that sleeps holds its device as an idle one does.
            ready=sum(is_ready(pod) or pod in asleep for pod in observed.pods),
            in_flight=0 if demand is None else demand.calls,
            calls_total=self._ports.demand.calls_total(self._key),
        )
        now = self._ports.clock.monotonic_seconds()
        waking = tuple(pod for pod in observed.pods if pod not in asleep)
        self._starting = first_seen(waking, self._starting, now)
        observation = observation_of(
            status=status,
            pods=waking,
            told=self._told,
            seen=self._starting,
            requested=requested,
            actual=actual,
            demand=demand,
            now_seconds=now,
            wall_time=datetime.fromisoformat(self._ports.clock.now()),
        )
        state, decision = decide(self._state, observation, intent.scaling, now)
        self._meter.learn(state.service, str(status.get("activeRevision") or ""))
        self._ports.telemetry.replicas(self._key, desired=decision.replicas, ready=observation.ready_replicas)
        is_quiet = demand is None or demand.calls == 0
        is_smallest = decision.replicas <= intent.scaling.min_replicas
        self._ports.telemetry.decided(self._key, {} if is_quiet and is_smallest else decision.inputs)
        is_settled = self._offer(intent, state, observation.current, now)
        # None where the mode is not sleep any more: then those that sleep still go as others do.
        lowest = max(decision.replicas, intent.scaling.standby_replicas if standby else 0)
        wanted = {
            ref: decision.replicas if ref == model_ref else lowest if may_run(status, ref.name) else 0
            for ref in seen
            if (ref != model_ref or not intent.scaling.is_external or decision.reason is ScalingReason.IDLE)
            and (ref == model_ref or may_run(status, ref.name) is not None)
        }
        changes = {ref: seen[ref] for ref, replicas in wanted.items() if seen[ref].replicas != replicas}
        if self._half_written is not None:
            before, earlier = self._half_written
            self._half_written = None
            if before != actual == earlier.replicas:
                self._tell(body, before, earlier)
        if changes:
            is_told = actual != decision.replicas and (
                standby is not None or any(may_run(status, ref.name) for ref in changes)
            )
            try:
                for ref, scale in changes.items():
                    if ref != model_ref and wanted[ref] < scale.replicas:
                        await self._costs.mark(self._pods(observed, ref), wanted[ref])
                await self._write(changes, wanted, intent, model_ref)
            except Raced:
                # The first of the writes may have been done: then the next look tells it.
                self._half_written = (actual, decision) if is_told else None
                raise
            if is_told:
                self._tell(body, actual, decision)
        else:
            for ref in seen.keys() - {model_ref}:
                await self._costs.take_back(self._pods(observed, ref), seen[ref].replicas)
        if decision.reason is ScalingReason.NO_CAPACITY and not self._lacks_nodes:
            self._tell(body, actual, decision)
            self._lacks_nodes = True
        elif not observation.unschedulable_replicas:
            self._lacks_nodes = False
        self._state = state
        if standby:
            for ref in seen.keys() - {model_ref}:
                if may_run(status, ref.name):
                    pods = self._pods(observed, ref)
                    is_done = await standby.follow(
                        pods, asleep, decision.replicas, kept=lowest, may_sleep=decision.is_fresh
                    )
                    is_settled = is_settled and is_done
        if intent.scaling.scaling_class is ScalingClass.EXTERNAL or (is_quiet and is_smallest and is_settled):
            return SCHEDULE_SECONDS if intent.scaling.schedule else None
        return SILENT_SECONDS if demand is None else TICK_SECONDS

    async def _adopt(
        self, model_ref: ObjectRef, seen: dict[ObjectRef, Scale], actual: int, intent: ModelIntent
    ) -> None:
        """Let a new decider begin with the pods that there are: what is requested follows them, once. Raises ClusterError, Raced.

        A person's word stands as it is, except where the class has just become external.
        """
        before, self._class = self._class, intent.scaling.scaling_class
        is_given = intent.scaling.is_external and before is not self._class
        if self._class is ScalingClass.EXTERNAL and before is None:
            is_given = False
        wanted = min(actual, intent.scaling.max_replicas)
        if not is_given or wanted <= seen[model_ref].replicas:
            return
        try:
            await self._write({model_ref: seen[model_ref]}, {model_ref: wanted}, intent, model_ref)
        except (ClusterError, Raced):
            self._class = before
            raise
        seen[model_ref] = self._written[model_ref]

    def _offer(self, intent: ModelIntent, state: ScalingState, pods: int, now: float) -> bool:
        """Tell other autoscalers what is seen; whether it will stay so without further calls."""
        offers = self._ports.offers
        if intent.scaling.scaling_class not in (ScalingClass.HPA, ScalingClass.KEDA):
            offers.put(self._key, None)
            return True
        offer = offer_of(state.marks, intent.scaling, offers.get(self._key), pods, now)
        offers.put(self._key, offer)
        # What is not known has to be looked at again: nothing wakes this loop when the gateways are back without calls.
        return offer is not None and offer.is_settled

    def _pods(self, observed: Observed, deployment: ObjectRef) -> tuple[Body, ...]:
        return pods_of(observed, deployment.name.removeprefix(f"{self._key.name}-"))

    def _parse(self, body: Body) -> ModelIntent | Problem:
        """The intent; parsed once for each version of the model, as this runs every second."""
        version = str(body["metadata"].get("resourceVersion") or "")
        if self._parsed is None or self._parsed[0] != version or not version:
            self._parsed = (version, parse_model(body))
        return self._parsed[1]

    def _newest(self, ref: ObjectRef, cached: Scale) -> Scale:
        """The cached number, or what this loop has written where the cache is older than that."""
        written = self._written.get(ref)
        if written is not None and int(cached.resource_version or 0) < int(written.resource_version or 0):
            return written
        return cached

    async def _write(
        self,
        changes: Mapping[ObjectRef, Scale],
        wanted: Mapping[ObjectRef, int],
        intent: ModelIntent,
        model_ref: ObjectRef,
    ) -> None:
        is_lower = any(scale.replicas > wanted[ref] for ref, scale in changes.items())
        if is_lower and intent.scaling.is_external:
            await self._confirm(model_ref, intent.requested_replicas)
        # Pods first on the way up, for speed; the request first on the way down, so that a wake sees it.
        for ref in sorted(changes, key=lambda ref: (ref.kind == names.MODEL_KIND) != is_lower):
            try:
                await self._set(ref, changes[ref].replicas, wanted[ref])
            except ClusterError as error:
                if error.status != CONFLICT:
                    raise
                raise Raced(str(ref)) from error

    async def _confirm(self, ref: ObjectRef, replicas: int) -> None:
        fresh = await self._ports.cluster.read_scale(ref)
        if fresh is None or fresh.replicas != replicas:
            raise Raced(str(ref))

    async def _set(self, ref: ObjectRef, seen: int, wanted: int) -> None:
        fresh = await self._ports.cluster.read_scale(ref)
        if fresh is None:
            return
        if fresh.replicas != wanted:
            if fresh.replicas != seen and wanted < fresh.replicas:
                # Raised since the decision looked: remember it, so that the next decision adopts it.
                self._written[ref] = fresh
                raise Raced(str(ref))
            fresh = await self._ports.cluster.write_scale(
                ref, Scale(replicas=wanted, resource_version=fresh.resource_version)
            )
        self._written[ref] = fresh

    def _tell(self, body: Body, before: int, decision: Decision) -> None:
        if decision.replicas != before:
            change = (before, decision.replicas, decision.reason)
            if change == self._told_change:
                return
            self._told_change = change
        reason = "ScaledUp" if decision.replicas > before else "ScaledDown"
        message = f"from {before} to {decision.replicas} pods: {decision.message}"
        if decision.replicas == before:
            reason, message = decision.reason.value, decision.message
        demand = self._ports.demand.demand(self._key)
        _LOG.info(
            "model=%s scaled=%s->%s reason=%s",
            *(self._key, before, decision.replicas, decision.reason.value),
            extra={"trace_id": "" if demand is None else demand.trace_id},
        )
        self._ports.events.publish(
            body, is_warning=decision.replicas == before, reason=reason, message=message
        )
        self._ports.telemetry.scaled(self._key, decision.reason.value)
        self._decisions.appendleft(
            {
                "time": self._ports.clock.now(),
                "replicas": decision.replicas,
                "reason": decision.reason.value,
                "message": decision.message,
                "before": before,
                **({"formula": decision.formula} if decision.formula else {}),
                **({"bound": decision.bound} if decision.bound else {}),
                "inputs": {name: float(f"{value:.6g}") for name, value in decision.inputs.items()},
            }
        )


def may_run(status: Mapping[str, Any], revision: str) -> bool | None:
    """Whether the rollout lets a revision have pods; None for one that the stored status does not know yet."""
    for one in status.get("revisions") or ():
        if one["name"] == revision and "mayRun" in one:
            return bool(one["mayRun"])
    active = str(status.get("activeRevision") or "")
    if active in ("", revision):
        return True
    return None


def _scale(body: Body, replicas: int) -> Scale:
    return Scale(replicas=replicas, resource_version=str(body["metadata"].get("resourceVersion") or ""))
