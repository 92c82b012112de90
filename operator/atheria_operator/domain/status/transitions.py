"""Which changes of the status are worth an Event, with the numbers that somebody who reads it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_operator.domain.status.conditions import ACCEPTED, KV_CACHE_ACCEPTED, QUALITY_ACCEPTED, READY
from atheria_operator.domain.status.optimization import TOLD
from atheria_operator.domain.status.phases import Phase
from atheria_operator.domain.status.start import phase_words

_SECONDS_PER_HOUR = 3600.0


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, bool, str, str]]:
    """(condition, is it a warning, reason, message) of each change that is worth an Event.

    Of Accepted and Ready; of QualityAccepted only what a pod told, as its failure to start is in Ready already; of
    KvCacheAccepted a step back, and its end.
    """
    old = {condition["type"]: condition for condition in before.get("conditions") or ()}
    found: list[tuple[str, bool, str, str]] = []
    for condition in after["conditions"]:
        kind, status, reason = condition["type"], condition["status"], condition["reason"]
        known = old.get(kind, {})
        is_told = (
            kind == READY
            or (kind == ACCEPTED and status != "True")
            or (kind == QUALITY_ACCEPTED and reason in TOLD)
            or (kind == KV_CACHE_ACCEPTED and (status != "True" or bool(known)))
        )
        if is_told and (status, reason) != (known.get("status"), known.get("reason")):
            numbers = _numbers(before, after) if kind == READY else ""
            found.append((kind, status == "False", reason, condition["message"] + numbers))
    return found


def new_phases(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(phase, seconds) of a start that has just become history."""
    starts = after.get("starts") or []
    if not starts or starts[:1] == (before.get("starts") or [])[:1]:
        return []
    return [(str(one["phase"]), float(one["seconds"])) for one in starts[0]["phases"]]


def _numbers(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What the phases until now took, and what the start or the time in service has cost."""
    if after.get("start"):
        phases = after["start"].get("phases") or ()
        return f"; so far: {phase_words(phases)}" if phases else ""
    starts = after.get("starts") or ()
    if starts and starts != before.get("starts"):
        start = starts[0]
        return (
            f"; the start took {start['totalSeconds']:g} s: {phase_words(start['phases'])}"
            f"{_cost_of(start['totalSeconds'], after.get('cost') or {})}"
        )
    if after.get("phase") in (Phase.DRAINING, Phase.SCALED_TO_ZERO, Phase.ASLEEP) and after.get("cost"):
        return _cost_so_far(after["cost"])
    return ""


def _cost_of(seconds: float, cost: Mapping[str, Any]) -> str:
    if "usdPerHour" not in cost:
        return ""
    usd = cost["usdPerHour"] * seconds / _SECONDS_PER_HOUR
    return f", {usd:.4g} USD ({_price(cost)})"


def _cost_so_far(cost: Mapping[str, Any]) -> str:
    words = f"; since {cost['since']}: {cost['calls']} calls"
    if "paidUsd" not in cost:
        return words
    thousand = f", {cost['reservedPer1000']:.4g} USD per 1000" if "reservedPer1000" in cost else ""
    return (
        f"{words}, {cost['paidUsd']:.4g} USD of which {cost['idleUsd']:.4g} idle{thousand} ({_price(cost)})"
    )


def _price(cost: Mapping[str, Any]) -> str:
    source = " ".join(str(cost[key]) for key in ("priceSource", "priceDate") if cost.get(key))
    return f"{cost['usdPerHour']:g} USD per hour{f', {source}' if source else ''}"
