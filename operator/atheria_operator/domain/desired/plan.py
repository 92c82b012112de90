"""Observed and desired to a Plan: what to apply, what to delete, which revision takes the calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.config_map import build_config_map
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import DesiredRevision, build_revision, digest_of
from atheria_operator.domain.desired.service_account import build_service_account
from atheria_operator.domain.desired.services import build_gateway_service, build_pods_service
from atheria_operator.domain.observed import (
    SERVICE_ACCOUNT,
    Body,
    Observed,
    is_leaving,
    is_owned,
    replicas_of,
    revision_hash_of,
)
from atheria_operator.domain.pods import failure_of, pods_of, ready_pods


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next step of a model towards its intent."""

    revision: DesiredRevision
    active_revision: str
    """Name of the Deployment that takes the calls."""
    apply: tuple[Mapping[str, Any], ...]
    """Objects that are missing or differ, in the order in which to apply them."""
    initial_replicas: int
    """Pods of the revision's Deployment, should it have to be made."""
    delete: tuple[Body, ...]
    """Objects of revisions that nobody needs any more."""


def build_plan(
    intent: ModelIntent,
    profile: HardwareProfile,
    defaults: ServerDefaults,
    observed: Observed,
    active_before: str,
    refused: str = "",
) -> Plan:
    """`active_before` is status.activeRevision as it is stored; empty for a new model. `refused` is the revision that was
    refused for good; empty for none."""
    revision = build_revision(intent, profile, defaults)
    active = choose_active(intent, revision, observed, active_before, refused)
    wanted = [
        stamp(body)
        for body in (
            build_service_account(intent),
            build_config_map(intent, revision),
            build_pods_service(intent, revision),
            build_gateway_service(intent),
            build_deployment(intent, revision),
        )
    ]
    # Old revisions go only after the switch is stored: until then the gateways send calls there.
    kept = {revision.name, active, active_before, _to_return_to(intent, revision, observed)} - {""}
    return Plan(
        revision=revision,
        active_revision=active,
        apply=tuple(body for body in wanted if _differs(body, observed, intent.uid)),
        initial_replicas=initial_replicas(intent, observed, active_before),
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


def choose_active(
    intent: ModelIntent, revision: DesiredRevision, observed: Observed, active_before: str, refused: str = ""
) -> str:
    """The new revision once it has a ready pod, or at once where the old one is at zero or gone.

    One that took over at zero and then fails to start gives the calls back to the revision that was ready before it, and
    does not take them again while its pods fail, or after it was refused for good.
    """
    deployments = observed.deployments(intent.uid)
    has_failed = refused == revision.name or any(failure_of(pod) for pod in pods_of(observed, revision.hash))
    if active_before == revision.name:
        return (has_failed and _to_return_to(intent, revision, observed)) or revision.name
    if active_before not in deployments or ready_pods(observed, revision.hash):
        return revision.name
    is_idle = not (
        replicas_of(deployments[active_before])
        or ready_pods(observed, revision_hash_of(deployments[active_before]))
    )
    return revision.name if is_idle and not has_failed else active_before


def _to_return_to(intent: ModelIntent, revision: DesiredRevision, observed: Observed) -> str:
    """The revision that was ready last, as long as the new one has not been ready; empty when there is none.

    A ready revision has all others removed, so the oldest of those that are there is the one that was ready.
    """
    if ready_pods(observed, revision.hash):
        return ""
    others = [body for name, body in observed.deployments(intent.uid).items() if name != revision.name]
    oldest = min(
        others,
        key=lambda body: (body["metadata"].get("creationTimestamp", ""), body["metadata"]["name"]),
        default=None,
    )
    return "" if oldest is None else str(oldest["metadata"]["name"])


def initial_replicas(intent: ModelIntent, observed: Observed, active_before: str) -> int:
    """Pods of a Deployment that has to be made: those of its predecessor, of the lost one, or of a new model."""
    before = observed.deployments(intent.uid).get(active_before)
    if before is not None:
        return replicas_of(before)
    requested = intent.requested_replicas
    if not active_before and not intent.scaling.is_external:
        requested = max(requested, intent.scaling.initial_replicas)
    return intent.scaling.clamp(requested)


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
            contains(live.get(key), item) for key, item in desired.items()
        )
    if isinstance(desired, (list, tuple)):
        return (
            isinstance(live, (list, tuple))
            and len(live) == len(desired)
            and all(contains(one, other) for one, other in zip(live, desired, strict=True))
        )
    return bool(live == desired)


def _differs(body: Mapping[str, Any], observed: Observed, owner_uid: str) -> bool:
    live = observed.children.get((body["kind"], body["metadata"]["name"]))
    if live is None or not is_owned(live, owner_uid) or is_leaving(live):
        return True
    return not contains(
        live, {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
    )
