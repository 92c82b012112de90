"""What the gateway knows of an AtheriaModel; built from the API object by adapters and from nothing in tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from atheria_contract import names

DEFAULT_QUEUE_LIMIT: Final = 512
DEFAULT_BATCH_SIZE: Final = 8


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
    """Calls that may be held for this model at once, and that one pod queues."""
    batch_size: int = DEFAULT_BATCH_SIZE
    """Calls that a worker of a pod computes at once."""
    workers: int = 1
    """Workers of a pod."""
    is_idempotent: bool = False
    """A call may be computed twice (spec.model.idempotent)."""
    start_seconds: tuple[float, ...] = ()
    """How long the last starts took by the operator's measure, of the active revision where it has any."""
    expected_ready_unix_s: float | None = None
    """When the operator expects the start under way to end, seconds since 1970; None without a start or a history."""
    sleeps: bool = False
    """At zero its pods stay, asleep (spec.scaling.scaleToZero.mode)."""
    is_asleep: bool = False
    """The operator knows that pods of the active revision do, perhaps from before the mode was changed: a wake takes less than a start."""
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
    reason, is_asleep = "", False
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready":
            reason = str(condition.get("message") or "")
        # Of the active revision, which takes the calls; Ready speaks of the one that the spec asks for.
        elif condition.get("type") == "Active":
            is_asleep = condition.get("reason") == names.REASON_ASLEEP
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
        batch_size=int((spec.get("batching") or {}).get("maxBatchSize") or DEFAULT_BATCH_SIZE),
        workers=int(concurrency.get("workersPerReplica") or 1),
        is_idempotent=bool((spec.get("model") or {}).get("idempotent")),
        start_seconds=_start_seconds(status, active),
        expected_ready_unix_s=_unix_s((status.get("start") or {}).get("expectedAt")),
        sleeps=((spec.get("scaling") or {}).get("scaleToZero") or {}).get("mode") == names.MODE_SLEEP,
        is_asleep=is_asleep,
        phase=str(status.get("phase") or ""),
        reason=reason,
        is_leaving=bool(metadata.get("deletionTimestamp")),
    )


def _start_seconds(status: Mapping[str, Any], active: str) -> tuple[float, ...]:
    starts = [one for one in status.get("starts") or () if one.get("totalSeconds") is not None]
    own = [one for one in starts if one.get("revision") == active]
    return tuple(float(one["totalSeconds"]) for one in own or starts)


def _unix_s(text: Any) -> float | None:
    """RFC 3339 as seconds since 1970; None for what is no such time."""
    try:
        moment = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None
