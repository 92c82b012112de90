"""What exists of a model: slim copies of its objects, by kind. Filled by the handlers' indexes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from atheria_contract import names

Body = Mapping[str, Any]
DEPLOYMENT = "Deployment"
SERVICE = "Service"
CONFIG_MAP = "ConfigMap"
SERVICE_ACCOUNT = "ServiceAccount"
HORIZONTAL_POD_AUTOSCALER = "HorizontalPodAutoscaler"
CHILD_KINDS = (DEPLOYMENT, SERVICE, CONFIG_MAP, SERVICE_ACCOUNT, HORIZONTAL_POD_AUTOSCALER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The objects with a model's label, whoever made them."""

    children: Mapping[tuple[str, str], Body] = field(default_factory=dict)
    """(kind, name) to object."""
    pods: tuple[Body, ...] = ()

    def deployments(self, owner_uid: str) -> dict[str, Body]:
        """Deployments of this very model that are not being deleted, by name."""
        # By key: an object that is not asked for is not unpacked.
        found = {name: self.children[kind, name] for kind, name in self.children if kind == DEPLOYMENT}
        return {
            name: body for name, body in found.items() if is_owned(body, owner_uid) and not is_leaving(body)
        }


def is_owned(body: Body, owner_uid: str) -> bool:
    """Whether the object belongs to the model with this uid."""
    return any(
        reference.get("uid") == owner_uid for reference in body["metadata"].get("ownerReferences") or ()
    )


def is_leaving(body: Body) -> bool:
    """Whether the object is being deleted."""
    return bool(body["metadata"].get("deletionTimestamp"))


def replicas_of(deployment: Body | None) -> int:
    """Pods that a Deployment asks for; 0 for none."""
    return 0 if deployment is None else int((deployment.get("spec") or {}).get("replicas") or 0)


def revision_hash_of(body: Body) -> str:
    """The revision that an object belongs to; empty for none."""
    return str((body["metadata"].get("labels") or {}).get(names.LABEL_REVISION) or "")


def slim(body: Body) -> dict[str, Any]:
    """A copy without what nobody reads: managedFields are the larger half of many objects."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**{key: value for key, value in body.items() if key != "metadata"}, "metadata": metadata}


_READ_ANNOTATIONS: Final = frozenset({names.ANNOTATION_DELETION_COST, names.ANNOTATION_IN_FLIGHT_METRICS})
"""Of pods; all others are left out of the operator's memory."""


def slim_pod(body: Body) -> dict[str, Any]:
    """The parts of a pod that the status is computed from."""
    metadata, status = body["metadata"], body.get("status") or {}
    containers = (body.get("spec") or {}).get("containers") or ()
    node = (body.get("spec") or {}).get("nodeName")
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key in _READ_ANNOTATIONS
    }
    return {
        "metadata": {
            **{
                key: metadata[key]
                for key in (
                    "name",
                    "uid",
                    "labels",
                    "creationTimestamp",
                    "deletionTimestamp",
                    "deletionGracePeriodSeconds",
                )
                if metadata.get(key)
            },
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {
            # Of a pod that goes only: where it is stuck.
            **({"nodeName": node} if node and is_leaving(body) else {}),
            "containers": [
                {key: container[key] for key in ("name", "readinessProbe", "resources") if container.get(key)}
                for container in containers
                if container.get("name") == names.CONTAINER_MODEL
            ],
        },
        "status": {
            key: status[key]
            for key in (
                "phase",
                "podIP",
                "conditions",
                "containerStatuses",
                "initContainerStatuses",
                "reason",
                "message",
            )
            if status.get(key)
        },
    }
