"""The figures of a model's status, for whoever watches it by metrics: what alerts and dashboards ask for.

`runtime.reconciler` takes them from each status that it builds, `adapters.model_figures` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_PHASE_SUFFIX: Final = "Seconds"
_KINDS: Final = ("busy", "idle", "loading")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionFigure:
    """One condition as it stands."""

    type: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFigures:
    """What is shown of one model."""

    phase: str
    conditions: tuple[ConditionFigure, ...] = ()
    weights_percent: tuple[tuple[str, int], ...] = ()
    """(revision, its share of the calls), those that have a Deployment."""
    cold_start_seconds: tuple[tuple[str, float], ...] = ()
    """(phase, seconds) of the last start of a first pod; `total` is the sum."""
    cold_start_at_seconds: float | None = None
    """When it began, since the epoch; None before the first."""
    pods: int = 0
    """That are there now."""
    pod_usd_per_hour: float | None = None
    """Price of one pod; None where the profile has none."""
    pod_seconds: tuple[tuple[str, float], ...] = ()
    """(busy, idle or loading, seconds of pods since status.cost.since)."""
    usd_per_1000_calls: tuple[tuple[str, float], ...] = ()
    """(reserved: all that is paid, or busy: only the seconds with calls; price)."""


def figures_of(status: Mapping[str, Any]) -> StatusFigures:
    """The figures of a status as `build_status` returns it."""
    cost = status.get("cost") or {}
    price = cost.get("usdPerHour")
    started_at = (status.get("coldStart") or {}).get("startedAt")
    return StatusFigures(
        phase=str(status.get("phase") or ""),
        conditions=tuple(
            ConditionFigure(type=one["type"], status=one["status"], reason=one["reason"])
            for one in status.get("conditions") or ()
        ),
        weights_percent=tuple(
            (str(one["name"]), int(one.get("weight") or 0)) for one in status.get("revisions") or ()
        ),
        cold_start_seconds=tuple(
            (name.removesuffix(_PHASE_SUFFIX), float(value))
            for name, value in (status.get("coldStart") or {}).items()
            if name.endswith(_PHASE_SUFFIX) and isinstance(value, int | float)
        ),
        cold_start_at_seconds=_epoch_seconds(started_at),
        pods=int(status.get("replicas") or 0),
        pod_usd_per_hour=None if price is None else float(price),
        pod_seconds=tuple((kind, float(cost.get(f"{kind}Seconds") or 0.0)) for kind in _KINDS)
        if cost
        else (),
        usd_per_1000_calls=tuple(
            (kind, float(cost[field]))
            for kind, field in (("reserved", "reservedPer1000"), ("busy", "busyPer1000"))
            if cost.get(field) is not None
        ),
    )


def _epoch_seconds(text: Any) -> float | None:
    """RFC 3339 to seconds since the epoch; None for what is no time."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None
