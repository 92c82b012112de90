"""The reconcile loop of one model: parse, plan, apply, delete, status. Every round looks at everything."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent, ModelKey, Problem
from atheria_operator.api.parse import parse_model, parse_profile
from atheria_operator.domain.desired.plan import Plan, build_plan
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.observed import DEPLOYMENT, Body, Observed, is_leaving, is_owned, replicas_of
from atheria_operator.domain.status.conditions import ACCEPTED, QUALITY_ACCEPTED, READY
from atheria_operator.domain.status.optimization import TOLD, is_baseline, refused_revision
from atheria_operator.domain.status.report import Parts
from atheria_operator.domain.status.summary import StatusInput, build_status, needs_write
from atheria_operator.runtime.ports import (
    CONFLICT,
    Clock,
    ClusterError,
    ClusterWriter,
    DemandSource,
    EventSink,
    ObjectRef,
    Raced,
)

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS: Final = 1.0
_REFUSED_SECONDS: Final = 15.0
_HANDOVER_TRIES: Final = 10
_API_VERSIONS: Final = {"Deployment": "apps/v1"}
PROFILE_NOT_FOUND: Final = "ProfileNotFound"
NAME_CONFLICT: Final = "NameConflict"
REFUSED: Final = "Refused"


class NotYet(Exception):  # noqa: N818 - not an error: the cluster needs a moment
    """Something of the same name is still being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilePorts:
    """What the loop needs from outside."""

    cluster: ClusterWriter
    demand: DemandSource
    clock: Clock
    events: EventSink


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
    ) -> None:
        """`decisions` is the autoscaler's ring, newest first; `reports` is what pods told, by `pods.start_key`."""
        self._key = key
        self._ports = ports
        self._defaults = defaults
        self._decisions = decisions
        self._reports = reports
        # The status as written last, until the watch has caught up with it.
        self._stored: tuple[int, Mapping[str, Any]] = (0, {})

    async def round(self, look: Callable[[], View]) -> float | None:
        """One round; returns seconds after which to look again, None for the usual resync. Raises ClusterError."""
        view = look()
        before = self._newest_status(view.body)
        intent = parse_model(view.body)
        if isinstance(intent, Problem):
            await self._write_status(view, before, desired="", active=_active(before), problem=intent)
            return None
        profile = choose_profile(intent, view.profiles)
        if isinstance(profile, Problem):
            await self._write_status(view, before, desired="", active=_active(before), problem=profile)
            return None
        plan = build_plan(
            intent, profile, self._defaults, view.observed, _active(before), refused_revision(before)
        )
        try:
            applied = await self._apply(plan, intent)
        except NotYet:
            return _RETRY_SECONDS
        except ClusterError as error:
            if not error.is_refusal:
                raise
            problem = Problem(
                reason=REFUSED,
                message=f"the API server refuses an object of the model: {error.message}; correct spec.podTemplate, the "
                "hardware profile, a quota or a policy",
            )
            await self._write_status(view, before, desired="", active=_active(before), problem=problem)
            return _REFUSED_SECONDS
        if isinstance(applied, Problem):
            await self._write_status(view, before, desired="", active=_active(before), problem=applied)
            return _REFUSED_SECONDS
        # Looked at again: what was applied is in the watch by now, or its event comes and wakes the next round.
        view = look()
        await self._write_status(
            view,
            before,
            desired=plan.revision.name,
            active=plan.active_revision,
            problem=None,
            is_baseline=is_baseline(intent.serving),
        )
        await self._delete(plan, intent)
        return None

    def _newest_status(self, body: Body) -> Mapping[str, Any]:
        version, status = self._stored
        if int(body["metadata"].get("resourceVersion") or 0) < version:
            return status
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
            metadata = body["metadata"]
            kind = str(body["kind"])
            ref = ObjectRef(
                api_version=_API_VERSIONS.get(kind, "v1"),
                kind=kind,
                namespace=self._key.namespace,
                name=str(metadata["name"]),
            )
            await self._ports.cluster.delete(ref, str(metadata["uid"]))
            _LOG.info("model=%s deleted=%s/%s kept=%s", intent.key, kind, ref.name, plan.revision.name)

    async def _write_status(
        self,
        view: View,
        before: Mapping[str, Any],
        *,
        desired: str,
        active: str,
        problem: Problem | None,
        is_baseline: bool = False,
    ) -> None:
        metadata = view.body["metadata"]
        demand = self._ports.demand.demand(self._key)
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
            ),
            self._ports.clock.now(),
        )
        if not needs_write(before, status):
            return
        ref = ObjectRef(
            api_version=names.API_VERSION,
            kind=names.MODEL_KIND,
            namespace=self._key.namespace,
            name=self._key.name,
        )
        stored = await self._ports.cluster.apply_status(ref, status)
        self._stored = (int(stored["metadata"]["resourceVersion"]), status)
        for kind, is_warning, reason, message in transitions(before, status):
            _LOG.info("model=%s condition=%s reason=%s message=%r", self._key, kind, reason, message)
            self._ports.events.publish(view.body, is_warning=is_warning, reason=reason, message=message)


def choose_profile(intent: ModelIntent, profiles: Mapping[str, Body]) -> HardwareProfile | Problem:
    """The profile that the model names, or what names there are."""
    body = profiles.get(intent.profile)
    if body is not None:
        return parse_profile(body)
    known = ", ".join(sorted(profiles)) or "none are installed"
    return Problem(
        reason=PROFILE_NOT_FOUND,
        message=f"spec.hardware.profile is {intent.profile!r}, which does not exist: use one of {known}, or create it",
    )


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, bool, str, str]]:
    """(condition, is it a warning, reason, message) of each change that is worth an Event.

    Of Accepted and Ready; of QualityAccepted only what a pod told, as its failure to start is in Ready already.
    """
    old = {condition["type"]: condition for condition in before.get("conditions") or ()}
    found: list[tuple[str, bool, str, str]] = []
    for condition in after["conditions"]:
        kind, status, reason = condition["type"], condition["status"], condition["reason"]
        known = old.get(kind, {})
        is_told = (
            kind == READY
            or (kind == ACCEPTED and status != "True")
            or (kind == QUALITY_ACCEPTED and reason in TOLD)
        )
        if is_told and (status, reason) != (known.get("status"), known.get("reason")):
            found.append((kind, status == "False", reason, condition["message"]))
    return found


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
