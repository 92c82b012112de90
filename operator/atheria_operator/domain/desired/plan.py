"""Observed and desired to a Plan: what to apply, what to delete, which revision takes the calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent, ScalingClass
from atheria_operator.domain.desired.config_map import build_config_map
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.made_with import differing_values, made_with, settings_text
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import DesiredRevision, build_revision, digest_of
from atheria_operator.domain.desired.service_account import build_service_account
from atheria_operator.domain.desired.services import build_gateway_service, build_pods_service
from atheria_operator.domain.interop.horizontal_pod_autoscaler import build_horizontal_pod_autoscaler
from atheria_operator.domain.observed import (
    HORIZONTAL_POD_AUTOSCALER,
    SERVICE_ACCOUNT,
    Body,
    Observed,
    is_leaving,
    is_owned,
    replicas_of,
    revision_hash_of,
)
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.decide import decide_rollout
from atheria_operator.domain.rollout.facts import Outside, observe_revisions
from atheria_operator.domain.rollout.state import (
    Phase,
    RolloutDecision,
    RolloutObservation,
    RolloutState,
)
from atheria_operator.domain.rollout.upgrade import Turn, has_begun, member_of
from atheria_operator.domain.rollout.wave import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next step of a model towards its intent."""

    revision: DesiredRevision
    rollout: RolloutState
    """As it is to be stored."""
    decision: RolloutDecision
    """Who takes calls, and who may have pods."""
    image: str
    """The default server image that the revision was rendered with."""
    active_image: str
    """That of the revision that takes the calls."""
    active_values: tuple[str, ...]
    """The chart's values, other than the image, in which that one differs from the revision."""
    newer_image: str
    """The operator's default server image where following it would make another revision; empty otherwise."""
    newer_values: tuple[str, ...]
    """The chart's values that have changed since, other than the image, and wait for the model's turn."""
    upgrade: Member
    """How far the model is with the operator's settings: those that it follows."""
    turn: Turn
    """What it was told of them."""
    is_held_back: bool
    """It follows, and waits for its turn."""
    apply: tuple[Mapping[str, Any], ...]
    """Objects that are missing or differ, in the order in which to apply them."""
    initial_replicas: int
    """Pods of the revision's Deployment, should it have to be made."""
    counted: Mapping[str, CallFigures]
    """Calls by revision of the canary's step that goes on; empty at its beginning and without one."""
    now: str
    """RFC 3339, when this was planned."""
    retire: tuple[Body, ...]
    """An autoscaler that decides no more: to be deleted before another begins."""
    delete: tuple[Body, ...]
    """Objects of revisions that nobody needs any more."""

    @property
    def active_revision(self) -> str:
        """Name of the Deployment that takes the calls."""
        return self.rollout.active


def build_plan(
    intent: ModelIntent,
    profile: HardwareProfile,
    defaults: ServerDefaults,
    observed: Observed,
    before: RolloutState,
    outside: Outside,
) -> Plan:
    """`before` is the rollout as it is stored, empty for a new model."""
    deployments = observed.deployments(intent.uid)
    target = defaults
    if not outside.follows_default_image and before.active in deployments:
        target = replace(defaults, image=made_with(deployments[before.active], defaults).image)
    aimed = build_revision(intent, profile, target)

    def effective(name: str, made: ServerDefaults) -> ServerDefaults:
        """What the model overrides, e.g. by spec.podTemplate, is none of its affair."""
        is_same = name == aimed.name or made == target or build_revision(intent, profile, made) == aimed
        return target if is_same else made

    made = {name: effective(name, made_with(body, target)) for name, body in deployments.items()}
    used = target
    if not (outside.turn.is_given or has_begun(before, target, made)):
        used = made.get(before.active, target)
    revision = aimed if used == target else build_revision(intent, profile, used)

    def would_change(other: ServerDefaults) -> bool:
        return other != used and build_revision(intent, profile, other) != revision

    seen = RolloutObservation(
        desired=revision.name,
        revisions=observe_revisions(observed, intent.uid, outside),
        command_text=outside.command_text,
    )
    rollout, decision = decide_rollout(before, seen, intent.rollout, outside.now)
    is_held_back = would_change(target)
    of_active = made.get(rollout.active, used)
    wanted = [
        stamp(body)
        for body in (
            build_service_account(intent),
            build_config_map(intent, revision),
            build_pods_service(intent, revision),
            build_gateway_service(intent),
            _with_defaults(build_deployment(intent, revision), used),
            *_autoscaler(intent),
        )
    ]
    # Old revisions go only after the switch is stored: until then the gateways send calls there.
    kept = decision.keep | {before.active, before.candidate}
    return Plan(
        revision=revision,
        rollout=rollout,
        decision=decision,
        image=used.image,
        active_image=of_active.image,
        active_values=differing_values(of_active, used),
        newer_image=defaults.image if would_change(replace(used, image=defaults.image)) else "",
        newer_values=differing_values(used, target) if is_held_back else (),
        upgrade=member_of(rollout, seen, target, made, is_outdated=is_held_back),
        turn=outside.turn,
        is_held_back=is_held_back,
        apply=tuple(body for body in wanted if _differs(body, observed, intent.uid)),
        initial_replicas=(
            initial_replicas(intent, observed, before.active) if revision.name in decision.may_run else 0
        ),
        counted=_counted(before, rollout, outside),
        now=outside.now,
        retire=tuple(
            body
            for (kind, _), body in sorted(observed.children.items())
            if kind == HORIZONTAL_POD_AUTOSCALER
            and intent.scaling.scaling_class is not ScalingClass.HPA
            and is_owned(body, intent.uid)
            and not is_leaving(body)
        ),
        delete=tuple(
            body
            for (kind, name), body in sorted(observed.children.items())
            if revision_hash_of(body)
            and kind != SERVICE_ACCOUNT
            and name not in kept
            and is_owned(body, intent.uid)
            and not is_leaving(body)
        ),
    )


def initial_replicas(intent: ModelIntent, observed: Observed, active_before: str) -> int:
    """Pods of a Deployment that has to be made: those of its predecessor, of the lost one, or of a new model."""
    before = observed.deployments(intent.uid).get(active_before)
    if before is not None:
        return replicas_of(before)
    requested = intent.requested_replicas
    if not active_before and intent.scaling.scaling_class is not ScalingClass.EXTERNAL:
        requested = max(requested, intent.scaling.initial_replicas)
    return intent.scaling.clamp(requested)


_WHOLE: Final = frozenset({"selector", "nodeSelector"})
"""Maps that the API takes as one value: one more key, from whomever, selects something else."""


def stamp(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object with the digest of its own content as an annotation, by which a dropped field is noticed."""
    metadata = dict(body["metadata"])
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        names.ANNOTATION_INTENT: digest_of(body),
    }
    return {**body, "metadata": metadata}


def contains(live: Any, desired: Any) -> bool:
    """Whether `live` has all that `desired` says; fields that others set do not count, nor do empty maps and lists."""
    if live is None and desired in ({}, [], ()):
        return True
    if isinstance(desired, Mapping):
        return isinstance(live, Mapping) and all(
            live.get(key) == item if key in _WHOLE else contains(live.get(key), item)
            for key, item in desired.items()
        )
    if isinstance(desired, (list, tuple)):
        return (
            isinstance(live, (list, tuple))
            and len(live) == len(desired)
            and all(contains(one, other) for one, other in zip(live, desired, strict=True))
        )
    return bool(live == desired)


def _autoscaler(intent: ModelIntent) -> tuple[dict[str, Any], ...]:
    is_wanted = intent.scaling.scaling_class is ScalingClass.HPA
    return (build_horizontal_pod_autoscaler(intent),) if is_wanted else ()


def _counted(before: RolloutState, after: RolloutState, outside: Outside) -> dict[str, CallFigures]:
    is_same_step = after.phase is Phase.STEP and all(
        getattr(before, name) == getattr(after, name) for name in ("phase", "candidate", "step", "since")
    )
    shared = (after.active, after.candidate) if is_same_step else ()
    return {name: outside.calls[name] for name in shared if name in outside.calls}


def _with_defaults(deployment: Mapping[str, Any], defaults: ServerDefaults) -> dict[str, Any]:
    metadata = dict(deployment["metadata"])
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        names.ANNOTATION_SERVER_IMAGE: defaults.image,
        names.ANNOTATION_SERVER_SETTINGS: settings_text(defaults),
    }
    return {**deployment, "metadata": metadata}


def _differs(body: Mapping[str, Any], observed: Observed, owner_uid: str) -> bool:
    live = observed.children.get((body["kind"], body["metadata"]["name"]))
    if live is None or not is_owned(live, owner_uid) or is_leaving(live):
        return True
    return not contains(
        live, {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
    )
