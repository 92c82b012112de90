"""Conditions: merged so that the time of the last transition changes only when the status does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Truth = Literal["True", "False", "Unknown"]
ACCEPTED: Final = "Accepted"
READY: Final = "Ready"
WARM: Final = "Warm"
ACTIVE: Final = "Active"
SCALER_READY: Final = "ScalerReady"
QUALITY_ACCEPTED: Final = "QualityAccepted"
KV_CACHE_ACCEPTED: Final = "KvCacheAccepted"
MESSAGE_LIMIT: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One fact, before it is merged with what was known."""

    type: str
    status: Truth
    reason: str
    message: str


def merge_conditions(
    old: Iterable[Mapping[str, Any]], new: Iterable[Condition], generation: int, now: str
) -> list[dict[str, Any]]:
    """The conditions as stored, in the order of `new`; `now` is RFC 3339."""
    before = {condition.get("type"): condition for condition in old}
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message[:MESSAGE_LIMIT],
            "lastTransitionTime": _transition_time(before.get(condition.type), condition.status, now),
            "observedGeneration": generation,
        }
        for condition in new
    ]


def _transition_time(before: Mapping[str, Any] | None, status: Truth, now: str) -> str:
    if before is not None and before.get("status") == status and before.get("lastTransitionTime"):
        return str(before["lastTransitionTime"])
    return now
