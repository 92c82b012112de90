"""Names and labels of the objects that a model owns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from atheria_contract import names
from atheria_operator.api.model import ModelKey


class Owner(Protocol):
    """The model that something belongs to; a ModelIntent is one."""

    @property
    def key(self) -> ModelKey:
        """Its namespace and name."""

    @property
    def uid(self) -> str:
        """Its uid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOwner:
    """Owner where the spec cannot be read."""

    key: ModelKey
    uid: str


def revision_name(model: str, revision_hash: str) -> str:
    """Name of a revision's Deployment, Service and ConfigMap."""
    return f"{model}-{revision_hash}"


def common_labels(key: ModelKey) -> dict[str, str]:
    """Labels of everything that belongs to a model."""
    return {
        names.LABEL_MODEL: key.name,
        names.LABEL_NAME: key.name,
        names.LABEL_PART_OF: "atheria",
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
    }


def pod_selector(key: ModelKey, revision_hash: str) -> dict[str, str]:
    """Labels by which a revision's pods are found."""
    return {names.LABEL_MODEL: key.name, names.LABEL_REVISION: revision_hash}


def selector_text(key: ModelKey) -> str:
    """Label selector of all pods of a model, for the scale subresource."""
    return f"{names.LABEL_MODEL}={key.name}"


def model_url(key: ModelKey) -> str:
    """Where clients in the cluster call the model: gRPC."""
    return f"{key.name}.{key.namespace}:{names.PORT_GRPC}"


def owned_metadata(owner: Owner, name: str, *, revision_hash: str = "", role: str = "") -> dict[str, Any]:
    """metadata of an object that goes when its model goes."""
    labels = common_labels(owner.key)
    if revision_hash:
        labels[names.LABEL_REVISION] = revision_hash
    if role:
        labels[names.LABEL_ROLE] = role
    return {
        "name": name,
        "namespace": owner.key.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODEL_KIND,
                "name": owner.key.name,
                "uid": owner.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
