"""One model in one row: what a person asks first. PURE; used by `list`, `watch` and `get`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The same facts as the columns of `kubectl get am`; names as in `--output json`."""

    namespace: str
    name: str
    ready: str
    """True, False or Unknown."""
    reason: str
    """One word; empty before the operator has seen the model."""
    phase: str
    revision: str
    """That takes the calls; empty = none yet."""
    replicas_ready: int
    replicas_asked: int
    queue: int
    """Calls held or in flight when the status was written."""
    usd_per_1000: float | None
    """Of all paid seconds; None = no price or no calls."""
    profile: str
    url: str
    is_seen: bool
    """`ready` is of the spec as it is, not of one before."""
    waiting_helps: bool
    """False = not ready, and the spec, or what it names, has to change."""
    next_step: str
    """What a person does about a model that is not ready; empty where nothing is to be done."""
    age_seconds: float


def condition(body: Body, kind: str) -> dict[str, Any]:
    """The condition of that type; empty if there is none."""
    for found in (body.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            return dict(found)
    return {}


def is_seen(body: Body, found: Mapping[str, Any]) -> bool:
    """Whether a condition was written for the spec as it is now; False for one that is not there."""
    return bool(found) and int(found.get("observedGeneration") or 0) >= int(
        body["metadata"].get("generation") or 0
    )


def summarize(body: Body, now: datetime) -> Summary:
    """From an AtheriaModel as the API server gives it; `now` in UTC."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    ready = condition(body, "Ready") or condition(body, "Accepted")
    fault = status.get("fault") or {}
    created = metadata.get("creationTimestamp")
    return Summary(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        ready=ready.get("status", "Unknown"),
        reason=ready.get("reason", ""),
        phase=status.get("phase", ""),
        revision=status.get("activeRevision", ""),
        replicas_ready=int(status.get("readyReplicas") or 0),
        replicas_asked=int(spec.get("replicas") or 0),
        queue=int(status.get("queue") or 0),
        usd_per_1000=(status.get("cost") or {}).get("reservedPer1000"),
        profile=(status.get("hardware") or {}).get("profile", ""),
        url=status.get("url", ""),
        is_seen=is_seen(body, ready),
        waiting_helps=fault.get("retriable") is not False,
        next_step=fault.get("nextStep") or "",
        age_seconds=max(0.0, (now - datetime.fromisoformat(created)).total_seconds()) if created else 0.0,
    )


def duration(seconds: float) -> str:
    """As kubectl shows an age: `42s`, `7m`, `3h`, `12d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"
