"""The Kubernetes objects that there would be. PURE; used by `stack` and `pods`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.domain.cost import Price, price_of

NAMESPACE: Final = "demo"
Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A server process."""

    name: str
    address: str
    """Of its own, in 127.0.0.0/8: the ports are those of a pod."""
    created: str
    """RFC 3339 in UTC."""
    is_ready: bool = False
    deletion_cost: int | None = None


def pod_object(pod: Pod, model: str, revision_hash: str) -> Body:
    """As the API server would show it to the operator."""
    condition = {"type": "Ready", "status": "True" if pod.is_ready else "False"}
    annotations = (
        {} if pod.deletion_cost is None else {names.ANNOTATION_DELETION_COST: str(pod.deletion_cost)}
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": NAMESPACE,
            "name": pod.name,
            "uid": pod.name,
            "creationTimestamp": pod.created,
            "labels": {names.LABEL_MODEL: model, names.LABEL_REVISION: revision_hash},
            "annotations": annotations,
        },
        "status": {"phase": "Running", "podIP": pod.address, "conditions": [condition]},
    }


def slice_object(pod: Pod, model: str, revision_hash: str) -> Body:
    """The EndpointSlice of one pod."""
    return {
        "metadata": {
            "namespace": NAMESPACE,
            "name": f"{pod.name}-slice",
            "labels": {
                names.LABEL_ROLE: names.ROLE_PODS,
                names.LABEL_MODEL: model,
                names.LABEL_REVISION: revision_hash,
            },
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [pod.address], "conditions": {"ready": pod.is_ready}}],
        "ports": [
            {"name": names.PORT_NAME_GRPC, "port": names.PORT_GRPC},
            {"name": names.PORT_NAME_HTTP, "port": names.PORT_HTTP},
        ],
    }


def as_stored(manifest: Body) -> Body:
    """An AtheriaModel with the defaults that the API server would fill in and the gateway shows."""
    spec = manifest.get("spec") or {}
    model = {"runtime": names.RUNTIME_ATHERIA, **(spec.get("model") or {})}
    return {**manifest, "spec": {"replicas": 0, **spec, "model": model}}


def price_in(documents: Iterable[Any], profile: str) -> Price | None:
    """Of the hardware profile with this name among a file's documents; None where it is not there, or has no price."""
    profiles = (one for one in documents if isinstance(one, dict) and one.get("kind") == names.PROFILE_KIND)
    found = next((one for one in profiles if (one.get("metadata") or {}).get("name") == profile), None)
    return None if found is None else price_of(found)


def status_of(
    revision: str,
    requested: int,
    pods: tuple[Pod, ...],
    decisions: Iterable[Mapping[str, Any]] = (),
    *,
    queue: int | None = None,
    cost: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """The part of a model's status that gateway, autoscaler and a person read, with the operator's names.

    `decisions` are the autoscaler's, newest first; `queue` counts calls held and in flight; None is not known.
    """
    ready = sum(pod.is_ready for pod in pods)
    if ready:
        phase, reason, message = "Serving", "Serving", f"{ready} of {requested} pods answer calls"
    elif requested:
        phase, reason, message = "Loading", "Starting", "the first pod starts"
    else:
        phase, reason, message = "ScaledToZero", "ScaledToZero", "at zero; the next call is held and wakes it"
    return {
        "activeRevision": revision,
        "revisions": [{"name": revision, "weight": 100, "replicas": requested, "readyReplicas": ready}],
        "readyReplicas": ready,
        "replicas": len(pods),
        "phase": phase,
        "lastDecisions": list(decisions),
        **({} if queue is None else {"queue": queue}),
        **({} if cost is None else {"cost": dict(cost)}),
        "conditions": [
            {
                "type": "Ready",
                "status": "False" if requested and not ready else "True",
                "reason": reason,
                "message": message,
            }
        ],
    }
