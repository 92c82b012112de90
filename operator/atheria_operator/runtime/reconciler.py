"""The reconcile loop of one model: parse, plan, apply, delete, status. Every round looks at everything."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, ModelKey, Problem, ScalingClass
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.cost import Price, cost_status, price_of
from atheria_operator.domain.desired.ownership import NAME_CONFLICT
from atheria_operator.domain.desired.plan import Plan, build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.pod_tls import (
    OWN_TLS,
    has_encrypted_pods,
    is_encrypted,
    problem_with_own_certificate,
)
from atheria_operator.domain.desired.standby import with_standby
from atheria_operator.domain.names import ModelOwner
from atheria_operator.domain.observed import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    Body,
    Observed,
    is_leaving,
    is_owned,
    replicas_of,
)
from atheria_operator.domain.planning.choice import choose_profile, remember_refusal
from atheria_operator.domain.pods import Told
from atheria_operator.domain.rollout.stored import read_state
from atheria_operator.domain.rollout.wave import Member, Stage
from atheria_operator.domain.status.conditions import Condition
from atheria_operator.domain.status.figures import figures_of
from atheria_operator.domain.status.optimization import is_baseline
from atheria_operator.domain.status.report import Parts
from atheria_operator.domain.status.rest import Rest
from atheria_operator.domain.status.rollout import rollout_events, rollout_parts
from atheria_operator.domain.status.scaler import (
    class_before,
    of_external,
    of_horizontal_pod_autoscaler,
    of_scaled_object,
    scaler_before,
)
from atheria_operator.domain.status.summary import StatusInput, build_status, needs_write
from atheria_operator.domain.status.transitions import new_phases, transitions
from atheria_operator.runtime.cert_manager import NOT_READY as CERTIFICATE_NOT_READY
from atheria_operator.runtime.meter import Meter
from atheria_operator.runtime.ports import (
    CONFLICT,
    NOT_FOUND,
    Clock,
    ClusterError,
    ClusterWriter,
    DemandSource,
    EventSink,
    ObjectRef,
    PodCertificates,
    Raced,
    Telemetry,
)
from atheria_operator.runtime.rollout_window import RolloutWindow
from atheria_operator.runtime.scaled_objects import ScaledObjects
from atheria_operator.runtime.upgrade_wave import UpgradeWave

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 1.0
_REFUSED_SECONDS: Final = 15.0
_HANDOVER_TRIES: Final = 10
_API_VERSIONS: Final = {"Deployment": "apps/v1", HORIZONTAL_POD_AUTOSCALER: "autoscaling/v2"}
_SCALER_SECONDS: Final = 15.0
_GOOD_SCALER_SECONDS: Final = 30.0
"""Between two looks at a ScaledObject, which is not watched: where it does not work, and where it does. Each is a whole round."""
REFUSED: Final = "Refused"


class NotYet(Exception):  # noqa: N818 - not an error: the cluster needs a moment
    """Something of the same name is still being deleted."""


class ModelMissing(Exception):  # noqa: N818 - not an error: whoever deleted it meant it
    """The API server does not know the model, so nothing may be made for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilePorts:
    """What the loop needs from outside."""

    cluster: ClusterWriter
    demand: DemandSource
    clock: Clock
    events: EventSink
    telemetry: Telemetry
    upgrades: UpgradeWave
    certificates: PodCertificates | None = None
    """Of models' pods; None = calls to them are plain text."""
    scaler_address: str = ""
    """host:port at which KEDA reaches the operator; empty = it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a round looks at: live views, read anew each time."""

    body: Body
    observed: Observed
    profiles: Mapping[str, Body]
    """Hardware profiles by name."""


class Reconciler:
    """Reconciles one model for as long as it exists in this operator."""

    def __init__(
        self,
        key: ModelKey,
        ports: ReconcilePorts,
        defaults: ServerDefaults,
        decisions: Sequence[Mapping[str, Any]],
        reports: Mapping[str, Parts],
        told: Mapping[str, Told],
        meter: Meter,
        rests: Mapping[str, Rest] | None = None,
    ) -> None:
        """`decisions` is the autoscaler's ring, newest first; `reports` is what ready pods told, `told` what is known of starting ones and
        `rests` of sleeping ones, all by `pods.start_key`; `meter` sums seconds and calls."""
        self._key = key
        self._ports = ports
        self._defaults = defaults
        self._decisions = decisions
        self._reports = reports
        self._told = told
        self._rests: Mapping[str, Rest] = {} if rests is None else rests
        self._sleeps = False
        self._meter = meter
        self._rollouts = RolloutWindow(key, ports.demand)
        self._price: Price | None = None
        self._devices = 1
        self._has_devices = False
        # status.hardware as it is to be stored, and what Accepted says of it.
        self._hardware: Mapping[str, Any] = {}
        self._note = ""
        self._scaled_objects = ScaledObjects(
            key, ports.cluster, ports.scaler_address, names.FIELD_MANAGER_OPERATOR
        )
        # status.scaledBy and ScalerReady as they are to be stored.
        self._scaled_by = ""
        self._scaler: tuple[Condition, ...] = ()
        # Why its last turn came to nothing. To say so in between, too, is no change of the status that would wake the model again.
        self._hindrance: Problem | None = None
        # The status as written last, until the watch has caught up with it.
        self._stored: tuple[int, Mapping[str, Any]] = (0, {})

    async def round(self, look: Callable[[], View]) -> float | None:
        """One round; returns seconds after which to look again, None for the usual resync. Raises ClusterError, ModelMissing."""
        view = look()
        before = self._newest_status(view.body)
        self._hardware, self._note = before.get("hardware") or {}, ""
        self._scaled_by, self._scaler = str(before.get("scaledBy") or ""), scaler_before(before)
        intent = parse_model(view.body)
        if isinstance(intent, ModelIntent):
            intent = with_standby(intent, self._defaults.standby_key)
        if isinstance(intent, Problem):
            self._ports.upgrades.cannot_tell(self._key)
            await self._write_status(view, before, desired="", active=_active(before), problem=intent)
            await self._keep_serving(view)
            return None
        self._sleeps = intent.scaling.sleeps
        self._hardware, self._note = remember_refusal(intent, before), ""
        choice = choose_profile(intent, view.profiles, view.observed, before, self._hardware)
        if isinstance(choice, Problem):
            self._ports.upgrades.cannot_tell(self._key)
            await self._write_status(view, before, desired="", active=_active(before), problem=choice)
            await self._keep_serving(view)
            return None
        self._hardware, self._note = choice.status, choice.note
        self._price = price_of(view.profiles[choice.profile.name])
        self._devices = intent.device_count
        self._has_devices = bool(choice.profile.resource_name)
        outside = self._rollouts.outside(
            view.body, before, self._told, self._reports, self._ports.clock.now()
        )
        outside = replace(outside, turn=self._ports.upgrades.turn(self._key))
        state = read_state(before)
        wants_tls = self._wants_tls(intent, view.observed, {state.active, state.candidate, state.returned})
        defaults = replace(self._defaults, pod_tls=wants_tls)
        plan = build_plan(intent, choice.profile, defaults, view.observed, state, outside)
        if not outside.turn.is_given:
            self._ports.upgrades.tell(self._key, plan.upgrade)
        applied: Problem | None
        try:
            applied = await self._certify(intent, view.observed, has_tls=plan.revision.has_tls)
            if applied is None:
                await self._retire(plan, intent, class_before(before))
                applied = await self._apply(plan, intent)
        except NotYet:
            return _RETRY_SECONDS
        except ClusterError as error:
            if not error.is_refusal:
                raise
            applied = Problem(
                reason=REFUSED,
                message=f"the API server refuses an object of the model: {error.message}; correct spec.podTemplate, the "
                "hardware profile, a quota or a policy",
            )
        applied = self._after_turn(plan, applied)
        if applied is not None:
            await self._write_status(view, before, desired="", active=_active(before), problem=applied)
            if applied.reason == OWN_TLS:
                await self._keep_serving(view)
            return _REFUSED_SECONDS
        # Looked at again: what was applied is in the watch by now, or its event comes and wakes the next round.
        view = look()
        scaler_seconds = await self._look_at_scaler(intent, view.observed)
        await self._write_status(
            view,
            before,
            desired=plan.revision.name,
            active=plan.active_revision,
            problem=None,
            is_baseline=is_baseline(intent.serving),
            is_custom=intent.custom is not None,
            plan=plan,
        )
        # A turn is kept until what was begun with it is stored: else the next round would take it back.
        self._ports.upgrades.tell(self._key, plan.upgrade)
        await self._delete(plan, intent)
        waits = [wait for wait in (plan.decision.look_seconds, scaler_seconds) if wait is not None]
        return min(waits, default=None)

    def _after_turn(self, plan: Plan, applied: Problem | None) -> Problem | None:
        """Give a turn back that ended in a problem, which stays the model's until its next one; a certificate on its way is waited for."""
        if plan.turn.is_given:
            is_over = applied is not None and applied.reason != CERTIFICATE_NOT_READY
            self._hindrance = applied if is_over else None
            if is_over:
                self._ports.upgrades.tell(self._key, Member(stage=Stage.BUSY))
        elif plan.upgrade.stage is not Stage.WAITING:
            self._hindrance = None
        return applied or self._hindrance

    def _wants_tls(self, intent: ModelIntent, observed: Observed, revisions: set[str]) -> bool:
        """`revisions` are those that take calls, are about to, or were given up: one that speaks TLS shows that the gateways can."""
        certificates = self._ports.certificates
        if certificates is None or intent.custom is not None:
            return False
        found = [body for name, body in observed.deployments(intent.uid).items() if name in revisions]
        return certificates.wants(any(map(is_encrypted, found)) if found else None)

    async def _certify(self, intent: ModelIntent, observed: Observed, *, has_tls: bool) -> Problem | None:
        """Before its pods: they wait for their certificate, and plain ones stay until it is there."""
        certificates = self._ports.certificates
        is_encrypted_now = has_encrypted_pods(observed, intent.uid)
        if certificates is None or not (has_tls or is_encrypted_now):
            return None
        if has_tls and (problem := problem_with_own_certificate(intent)):
            return problem
        if problem := await certificates.keep(intent):
            return problem
        is_change = bool(observed.deployments(intent.uid)) and not is_encrypted_now
        return certificates.pending(self._key) if is_change else None

    async def _keep_serving(self, view: View) -> None:
        """Pods of before serve on where the spec has a problem, and need a certificate that lasts."""
        certificates, uid = self._ports.certificates, str(view.body["metadata"]["uid"])
        if certificates is None or not has_encrypted_pods(view.observed, uid):
            return
        if problem := await certificates.keep(ModelOwner(key=self._key, uid=uid)):
            _LOG.error("model=%s its certificate cannot be kept: %s", self._key, problem.message)

    async def _retire(self, plan: Plan, intent: ModelIntent, before: str) -> None:
        """Delete the autoscaler of another class before anything else is changed; it may have written until then, and the scaling loop too."""
        for body in plan.retire:
            await self._delete_one(body, intent, plan.revision.name)
        if before == ScalingClass.KEDA.value and intent.scaling.scaling_class is not ScalingClass.KEDA:
            await self._scaled_objects.remove(intent.uid)

    async def _look_at_scaler(self, intent: ModelIntent, observed: Observed) -> float | None:
        """Who decides, and whether that works; seconds after which to look again."""
        scaling_class = intent.scaling.scaling_class
        self._scaled_by = "" if scaling_class is ScalingClass.ATHERIA else scaling_class.value
        match scaling_class:
            case ScalingClass.ATHERIA:
                self._scaler = ()
            case ScalingClass.EXTERNAL:
                self._scaler = (of_external(),)
            case ScalingClass.HPA:
                live = observed.children.get((HORIZONTAL_POD_AUTOSCALER, self._key.name))
                self._scaler = (of_horizontal_pod_autoscaler(live),)
            case ScalingClass.KEDA:
                found = await self._scaled_objects.keep(intent)
                self._scaler = (of_scaled_object(found.live, found.problem),)
                return _GOOD_SCALER_SECONDS if self._scaler[0].status == "True" else _SCALER_SECONDS
        return None

    def _newest_status(self, body: Body) -> Mapping[str, Any]:
        version, status = self._stored
        if int(body["metadata"].get("resourceVersion") or 0) < version:
            return status
        # The watch has caught up; a thousand models would keep their status twice.
        self._stored = (0, {})
        return dict(body.get("status") or {})

    async def _apply(self, plan: Plan, intent: ModelIntent) -> Problem | None:
        for body in plan.apply:
            ref = ObjectRef.of(body)
            live = await self._ports.cluster.read(ref)
            if live is not None and is_leaving(live):
                raise NotYet
            if live is not None and not is_owned(live, intent.uid):
                if _was_ours(live, self._key):
                    # Left by a model of the same name that was deleted: the garbage collector takes it.
                    raise NotYet
                return Problem(
                    reason=NAME_CONFLICT,
                    message=f"{ref.kind} {ref.namespace}/{ref.name} exists and does not belong to this model: delete it, "
                    "or give the model another name",
                )
            if ref.kind == DEPLOYMENT:
                await self._apply_deployment(ref, body, live, plan.initial_replicas)
            else:
                await self._ports.cluster.apply(body, manager=names.FIELD_MANAGER_OPERATOR)
            _LOG.info("model=%s applied=%s/%s new=%s", self._key, ref.kind, ref.name, live is None)
        return None

    async def _apply_deployment(
        self, ref: ObjectRef, body: Mapping[str, Any], live: Body | None, initial_replicas: int
    ) -> None:
        """Hand the number of pods to the autoscaler's manager before leaving it out: else it would fall back to 1."""
        cluster = self._ports.cluster
        if live is None:
            first = {**body, "spec": {**body["spec"], "replicas": initial_replicas}}
            live = await cluster.apply(first, manager=names.FIELD_MANAGER_OPERATOR)
        for _ in range(_HANDOVER_TRIES):
            if _others_own_replicas(live):
                break
            with contextlib.suppress(Raced):
                await self._hand_over(ref, live)
            live = await cluster.read(ref)
            if live is None:
                raise NotYet
        else:
            raise ClusterError(CONFLICT, f"{ref.kind} {ref.name} changed {_HANDOVER_TRIES} times meanwhile")
        await cluster.apply(body, manager=names.FIELD_MANAGER_OPERATOR)

    async def _hand_over(self, ref: ObjectRef, live: Body) -> None:
        metadata = {"name": ref.name, "namespace": ref.namespace}
        try:
            await self._ports.cluster.apply(
                {
                    "apiVersion": ref.api_version,
                    "kind": ref.kind,
                    # A gateway may wake the Deployment at this very moment, and must not be undone.
                    "metadata": {**metadata, "resourceVersion": live["metadata"]["resourceVersion"]},
                    "spec": {"replicas": replicas_of(live)},
                },
                manager=names.FIELD_MANAGER_AUTOSCALER,
            )
        except ClusterError as error:
            if error.status != CONFLICT:
                raise
            raise Raced(str(ref)) from error

    async def _delete(self, plan: Plan, intent: ModelIntent) -> None:
        for body in plan.delete:
            await self._delete_one(body, intent, plan.revision.name)

    async def _delete_one(self, body: Body, intent: ModelIntent, kept: str) -> None:
        metadata = body["metadata"]
        kind = str(body["kind"])
        ref = ObjectRef(
            api_version=_API_VERSIONS.get(kind, "v1"),
            kind=kind,
            namespace=self._key.namespace,
            name=str(metadata["name"]),
        )
        await self._ports.cluster.delete(ref, str(metadata["uid"]))
        _LOG.info("model=%s deleted=%s/%s kept=%s", intent.key, kind, ref.name, kept)

    async def _write_status(
        self,
        view: View,
        before: Mapping[str, Any],
        *,
        desired: str,
        active: str,
        problem: Problem | None,
        is_baseline: bool = False,
        is_custom: bool = False,
        plan: Plan | None = None,
    ) -> None:
        metadata = view.body["metadata"]
        demand = self._ports.demand.demand(self._key)
        usage = self._meter.usage
        status = build_status(
            StatusInput(
                key=self._key,
                uid=str(metadata["uid"]),
                generation=int(metadata.get("generation") or 0),
                observed=view.observed,
                desired_revision=desired,
                active_revision=active,
                problem=problem,
                before=before,
                calls=None if demand is None else demand.calls,
                decisions=tuple(self._decisions),
                reports=self._reports,
                is_baseline=is_baseline,
                is_custom=is_custom,
                told=self._told,
                rests=self._rests,
                sleeps=self._sleeps,
                cost=cost_status(usage, self._price, self._devices),
                last_call=usage.last_call,
                service=self._meter.measured,
                rollout=None if plan is None else rollout_parts(plan),
                hardware=self._hardware,
                note=self._note,
                scaled_by=self._scaled_by,
                scaler=self._scaler,
            ),
            self._ports.clock.now(),
        )
        self._ports.telemetry.reported(self._key, figures_of(status))
        if profile := str(self._hardware.get("profile") or ""):
            pods = int(status.get("replicas") or 0) if self._has_devices else 0
            self._ports.telemetry.holds(self._key, profile, pods * self._devices)
        if not needs_write(before, status):
            return
        ref = model_ref(self._key)
        try:
            stored = await self._ports.cluster.apply_status(ref, status)
        except ClusterError as error:
            if error.status == NOT_FOUND:
                raise ModelMissing(str(error)) from error
            raise
        self._stored = (int(stored["metadata"]["resourceVersion"]), status)
        for phase, seconds in new_phases(before, status):
            self._ports.telemetry.started(phase, seconds)
        for kind, is_warning, reason, message in (
            *transitions(before, status),
            *rollout_events(before, status),
        ):
            _LOG.info("model=%s condition=%s reason=%s message=%r", self._key, kind, reason, message)
            self._ports.events.publish(view.body, is_warning=is_warning, reason=reason, message=message)


def model_ref(key: ModelKey) -> ObjectRef:
    """The model itself."""
    return ObjectRef(
        api_version=names.API_VERSION, kind=names.MODEL_KIND, namespace=key.namespace, name=key.name
    )


def _active(status: Mapping[str, Any]) -> str:
    return str(status.get("activeRevision") or "")


def _was_ours(live: Body, key: ModelKey) -> bool:
    return any(
        reference.get("kind") == names.MODEL_KIND and reference.get("name") == key.name
        for reference in live["metadata"].get("ownerReferences") or ()
    )


def _others_own_replicas(live: Body) -> bool:
    """Whether somebody besides the operator is on record for spec.replicas."""
    return any(
        entry.get("manager") != names.FIELD_MANAGER_OPERATOR
        and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in live["metadata"].get("managedFields") or ()
    )
