"""What the gateway knows of an AtheriaModel; built from the API object by adapters and from nothing in tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_QUEUE_LIMIT: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """Namespace and name of a model; printed `namespace/name`, which is also its Envoy cluster's name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """The value of the header `atheria-model`."""
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ModelKey:
        """Read `namespace/name`; ValueError when it is not two non-empty parts."""
        namespace, slash, name = text.partition("/")
        if not (slash and namespace and name) or "/" in name:
            raise ValueError(f"model key is {text!r}, allowed is namespace/name: name the model that way")
        return cls(namespace=namespace, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The part of an AtheriaModel that decides about its calls."""

    key: ModelKey
    uid: str = ""
    requested_replicas: int = 0
    active_revision: str = ""
    """Name of the active Deployment; empty before the operator has made one."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Share of the calls in percent by revision, of those that have one."""
    may_wake: bool = True
    """The active revision may have pods; not while it makes room for another one."""
    queue_limit: int = DEFAULT_QUEUE_LIMIT
    """Calls that may be held for this model at once."""
    phase: str = ""
    reason: str = ""
    """The sentence of the Ready condition, for a caller whose hold ends without a pod."""
    is_leaving: bool = False
    """Deleted, but still kept by a finalizer: it is neither woken nor given a slice again."""


def model_from_object(body: Mapping[str, Any]) -> Model:
    """Read an AtheriaModel as the API server returns it; absent fields fall back to their defaults."""
    metadata = body["metadata"]
    spec = body.get("spec") or {}
    status = body.get("status") or {}
    concurrency = spec.get("concurrency") or {}
    reason = ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            reason = str(condition.get("message") or "")
    active = str(status.get("activeRevision") or "")
    revisions = {str(one.get("name") or ""): one for one in status.get("revisions") or ()}
    return Model(
        key=ModelKey(namespace=str(metadata["namespace"]), name=str(metadata["name"])),
        uid=str(metadata.get("uid") or ""),
        requested_replicas=int(spec.get("replicas") or 0),
        active_revision=active,
        weights={name: int(one["weight"]) for name, one in revisions.items() if one.get("weight")},
        may_wake=bool(revisions.get(active, {}).get("mayRun", True)),
        queue_limit=int(concurrency.get("maxQueueDepth") or DEFAULT_QUEUE_LIMIT),
        phase=str(status.get("phase") or ""),
        reason=reason,
        is_leaving=bool(metadata.get("deletionTimestamp")),
    )
