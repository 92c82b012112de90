"""From the points that one cold call passed to the seconds of its phases; pure.

The points are Unix times of one machine's clock, each from whoever knows it best: the caller, the API server's watches, the
kernel (begin of the container's process), the logs of the server and of Envoy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from atheria_contract import names

PHASES: Final[Mapping[str, str]] = {
    "scaled": "call arrives, gateway wakes: Deployment 0 → 1",
    "created": "Deployment → pod object",
    "scheduled": "pod has a node",
    "process": "volumes, network, container's process",
    "imported": "interpreter and imports",
    "loaded": "model made, weights read",
    "ready": "warm-up",
    "probed": "probe → pod Ready in the API",
    "published": "pod Ready → EndpointSlice",
    "released": "EndpointSlice → gateway lets the call go on",
    "answered": "the call itself",
}
"""Point at which a phase ends, and what the caller waits for until then; in order."""
TOTAL: Final = "total"
CPU: Final = "cpu"
_READY: Final = re.compile(r"^(?P<time>\S+)Z INFO atheria\.server event=ready (?P<fields>.*)$", re.MULTILINE)
_LOADED: Final = re.compile(r"^(?P<time>\S+)Z INFO atheria\.engine event=model_loaded ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds of several calls."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdCall:
    """One call."""

    phases: Mapping[str, float]
    """Seconds by the point at which the phase ends."""
    cpu_seconds: float
    """That the pod's processes had used when the call was answered, on all processors together."""


def phases_of(began: float, points: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each phase, adding up to the caller's wait. Raises KeyError for a point that was not seen.

    A point that was seen before the one that precedes it, by a slower way, ends its phase at once.
    """
    found: dict[str, float] = {}
    before = began
    for name in PHASES:
        at = max(before, min(points[name], points["answered"]))
        found[name] = at - before
        before = at
    return found


def spread(calls: Sequence[ColdCall]) -> dict[str, Spread]:
    """Of each phase, of the whole (TOTAL) and of the pod's CPU seconds (CPU)."""
    rows = [{**call.phases, TOTAL: sum(call.phases.values()), CPU: call.cpu_seconds} for call in calls]
    return {
        name: Spread(
            median=median(row[name] for row in rows),
            low=min(row[name] for row in rows),
            high=max(row[name] for row in rows),
        )
        for name in (*PHASES, TOTAL, CPU)
    }


def server_points(log: str) -> dict[str, float]:
    """Points `imported`, `loaded` and `ready` in the log of a model's server; those that are there."""
    found: dict[str, float] = {}
    ready, loaded = _READY.search(log), _LOADED.search(log)
    if ready:
        found["ready"] = unix_seconds(ready["time"])
        fields = dict(field.split("=", 1) for field in ready["fields"].split() if "=" in field)
        if loaded:
            found["loaded"] = unix_seconds(loaded["time"])
            found["imported"] = found["loaded"] - float(fields["setup_seconds"])
    return found


def released_point(lines: Iterable[str], model: str, began: float) -> float | None:
    """When Envoy sent the held call on, by its access log; None when there is no such line after `began`."""
    for line in lines:
        if not line.startswith("{"):
            continue
        entry: Mapping[str, Any] = json.loads(line)
        held, time = entry.get("held_seconds"), entry.get("time")
        if entry.get("model") != model or held is None or time is None:
            continue
        at = unix_seconds(str(time).removesuffix("Z"))
        if at >= began - 0.1:
            return at + float(held)
    return None


def is_published(body: Mapping[str, Any]) -> bool:
    """Whether an EndpointSlice of a revision has a ready pod."""
    return names.LABEL_REVISION in (body["metadata"].get("labels") or {}) and any(
        (endpoint.get("conditions") or {}).get("ready") for endpoint in body.get("endpoints") or ()
    )


def has_condition(pod: Mapping[str, Any], kind: str) -> bool:
    """Whether a pod's condition is True."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == kind and one.get("status") == "True" for one in conditions)


def unix_seconds(text: str) -> float:
    """Of `2026-01-02T03:04:05.678`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
