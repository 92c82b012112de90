"""Whether the cluster ended as it was asked to: compared with undisturbed models ("twins") that have the same specs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from bench.chaos.world import CHILDREN, NAMESPACE, TWINS, World

HISTORY_LIMIT: Final = 2
"""spec.rollout.revisionHistoryLimit, its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One child of a model beside its twin's."""

    model: str
    kind: str
    name: str
    digest: str
    expected: str

    @property
    def is_equal(self) -> bool:
        """Whether it is as it should be."""
        return self.digest == self.expected


def essence(body: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody decides of an object: without status, identity, the API server's and the controllers' own fields."""
    metadata = body.get("metadata") or {}
    rest = {
        key: value for key, value in body.items() if key not in ("metadata", "status", "apiVersion", "kind", "secrets")
    }  # fmt: skip
    spec = dict(rest.get("spec") or {})
    spec.pop("replicas", None)
    if spec.get("clusterIP") not in (None, "None"):
        spec.pop("clusterIP")
        spec.pop("clusterIPs", None)
    if spec:
        rest["spec"] = spec
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        # The intent's digest has the namespace and the owner's uid in it; what it stands for is compared itself.
        if key != names.ANNOTATION_INTENT and not key.startswith("deployment.kubernetes.io/")
    }
    owners = [
        (one["kind"], one["name"], one.get("controller")) for one in metadata.get("ownerReferences") or ()
    ]
    return {
        "name": metadata.get("name"),
        "labels": metadata.get("labels") or {},
        "annotations": annotations,
        "owners": owners,
        **rest,
    }


def digest(body: Mapping[str, Any] | None) -> str:
    """Twelve hexadecimal digits of an object's essence; "absent" for none."""
    if body is None:
        return "absent"
    text = json.dumps(essence(body), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


async def compare_children(world: World, model: str) -> list[Compared]:
    """Each child of the twin beside the model's of the same name; and what the model has beside that, but old revisions."""
    found: list[Compared] = []
    for group, kind in CHILDREN:
        listed: dict[str, dict[str, Any]] = {}
        for namespace in (NAMESPACE, TWINS):
            items = await world.api.items(
                f"{group}/namespaces/{namespace}/{kind}", f"{names.LABEL_MODEL}={model}"
            )
            listed[namespace] = {item["metadata"]["name"]: item for item in items}
        revisions = await _old_revisions(world, model)
        found += [
            Compared(
                model=model,
                kind=kind,
                name=name,
                digest=digest(listed[NAMESPACE].get(name)),
                expected=digest(listed[TWINS].get(name)),
            )
            for name in sorted({*listed[NAMESPACE], *listed[TWINS]} - revisions)
        ]
    return found


async def complaint_at_zero(world: World, model: str) -> str:
    """What is still not as it should be once nobody calls; empty when all is."""
    stored = await world.model(model)
    status = stored.get("status") or {}
    if status.get("phase") != "ScaledToZero":
        return f"phase is {status.get('phase')}"
    if stored["spec"].get("replicas"):
        return f"spec.replicas is {stored['spec']['replicas']}"
    deployments = await world.deployments(model)
    if any(item["spec"]["replicas"] for item in deployments):
        return "a Deployment asks for pods"
    return await _complaint(world, model, stored, deployments)


async def complaint_under_load(world: World, model: str) -> str:
    """What is not as it should be while calls come; empty when all is."""
    stored = await world.model(model)
    status = stored.get("status") or {}
    deployments = await world.deployments(model)
    active = next(
        (item for item in deployments if item["metadata"]["name"] == status.get("activeRevision")), None
    )
    if status.get("phase") != "Serving" or active is None:
        return f"phase is {status.get('phase')}, active revision {status.get('activeRevision')}"
    asked = stored["spec"].get("replicas")
    ready = (active.get("status") or {}).get("readyReplicas", 0)
    if not asked == active["spec"]["replicas"] == ready:
        return f"asked for {asked} pods, the Deployment for {active['spec']['replicas']}, ready are {ready}"
    if others := [
        item["metadata"]["name"] for item in deployments if item is not active and item["spec"]["replicas"]
    ]:
        return f"{others} still have pods"
    return await _complaint(world, model, stored, deployments)


async def _complaint(
    world: World, model: str, stored: Mapping[str, Any], deployments: list[dict[str, Any]]
) -> str:
    status = stored["status"]
    twin = await world.model(model, TWINS)
    expected = (twin.get("status") or {}).get("activeRevision")
    spec = {key: value for key, value in stored["spec"].items() if key != "replicas"}
    if spec != {key: value for key, value in twin["spec"].items() if key != "replicas"}:
        return "the spec is not what was asked for last"
    if not expected or status.get("activeRevision") != expected:
        return f"the active revision is {status.get('activeRevision')}, asked for is {expected}"
    weights = {one["name"]: one.get("weight", 0) for one in status.get("revisions") or ()}
    if {name: weight for name, weight in weights.items() if weight} != {expected: 100}:
        return f"weights are {weights}"
    if (phase := (status.get("rollout") or {}).get("phase", "Complete")) != "Complete":
        return f"the rollout's phase is {phase}"
    if status.get("observedGeneration", stored["metadata"]["generation"]) != stored["metadata"]["generation"]:
        return "the status is of an older generation"
    if len(deployments) > 1 + HISTORY_LIMIT:
        return f"{len(deployments)} Deployments"
    for one in await compare_children(world, model):
        if not one.is_equal:
            return f"{one.kind} {one.name} is {one.digest}, its twin {one.expected}"
    return ""


async def _old_revisions(world: World, model: str) -> set[str]:
    """Names of revisions that are kept to go back to; their Services and ConfigMaps are called the same."""
    stored = await world.model(model)
    active = (stored.get("status") or {}).get("activeRevision")
    return {item["metadata"]["name"] for item in await world.deployments(model)} - {active}
