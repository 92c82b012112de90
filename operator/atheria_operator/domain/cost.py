"""What a model costs: pod-seconds by kind and calls, summed over time, times the price of its hardware profile.

c = p/3600 × paid seconds / calls, paid = busy + idle + loading. Pods and calls are counted (measured); a pod counts as busy
while it has a call in flight as the gateways report it (modelled: calls spread evenly over the ready pods).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

SECONDS_PER_HOUR: Final = 3600.0
PERIOD_SECONDS: Final = 86_400.0
"""Sums begin anew after so long: a cost of last month says nothing about today."""
_LONGEST_GAP_SECONDS: Final = 3600.0
"""A gap between two looks that is longer (a suspended machine) counts as this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one device for an hour."""

    usd_per_hour: float
    source: str = ""
    date: str = ""


def price_of(profile: Mapping[str, Any]) -> Price | None:
    """The price in the body of a hardware profile; None where it has none that is a number."""
    told = (profile.get("spec") or {}).get("price") or {}
    try:
        usd_per_hour = float(told["usdPerHour"])
    except (KeyError, TypeError, ValueError):
        return None
    return Price(
        usd_per_hour=usd_per_hour, source=str(told.get("source") or ""), date=str(told.get("date") or "")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a look saw; it holds until the next one."""

    pods: int
    """That exist, ready or not: each holds its device."""
    ready: int
    in_flight: int
    calls_total: int
    """Calls at the gateways since this operator started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Sums of the current period."""

    since: str = ""
    """RFC 3339."""
    seconds: float = 0.0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    loading_seconds: float = 0.0
    calls: int = 0
    last_call: str = ""
    """RFC 3339 of the last look that saw a call; empty = none was seen."""
    load: Load | None = None
    at_seconds: float = 0.0
    """Monotonic time of `load`."""

    @property
    def paid_seconds(self) -> float:
        """Seconds of pods that hold a device."""
        return self.busy_seconds + self.idle_seconds + self.loading_seconds


def observe(usage: Usage, load: Load, *, now_seconds: float, now: str) -> Usage:
    """The sums with the time since the last look; `now_seconds` is monotonic, `now` RFC 3339."""
    if not usage.since or usage.seconds >= PERIOD_SECONDS:
        usage = Usage(since=now, last_call=usage.last_call, load=usage.load, at_seconds=usage.at_seconds)
    before = usage.load
    if before is None:
        has_calls = load.in_flight > 0
        return replace(
            usage, load=load, at_seconds=now_seconds, last_call=now if has_calls else usage.last_call
        )
    gap = min(_LONGEST_GAP_SECONDS, max(0.0, now_seconds - usage.at_seconds))
    busy = min(before.ready, before.in_flight)
    calls = max(0, load.calls_total - before.calls_total)
    return replace(
        usage,
        seconds=usage.seconds + gap,
        busy_seconds=usage.busy_seconds + gap * busy,
        idle_seconds=usage.idle_seconds + gap * (before.ready - busy),
        loading_seconds=usage.loading_seconds + gap * max(0, before.pods - before.ready),
        calls=usage.calls + calls,
        last_call=now if calls or load.in_flight > 0 else usage.last_call,
        load=load,
        at_seconds=now_seconds,
    )


def restored(stored: Mapping[str, Any], last_call: str) -> Usage:
    """The sums that status.cost remembers, after a start of the operator."""
    return Usage(
        since=str(stored.get("since") or ""),
        seconds=float(stored.get("seconds") or 0.0),
        busy_seconds=float(stored.get("busySeconds") or 0.0),
        idle_seconds=float(stored.get("idleSeconds") or 0.0),
        loading_seconds=float(stored.get("loadingSeconds") or 0.0),
        calls=int(stored.get("calls") or 0),
        last_call=last_call,
    )


def cost_status(usage: Usage, price: Price | None, devices: int) -> dict[str, Any] | None:
    """status.cost; without a price only seconds and calls. None before anything was counted."""
    if not usage.since:
        return None
    found: dict[str, Any] = {
        "since": usage.since,
        "seconds": round(usage.seconds, 1),
        "busySeconds": round(usage.busy_seconds, 1),
        "idleSeconds": round(usage.idle_seconds, 1),
        "loadingSeconds": round(usage.loading_seconds, 1),
        "calls": usage.calls,
    }
    if price is None:
        return found
    per_second = price.usd_per_hour * devices / SECONDS_PER_HOUR
    found |= {
        "usdPerHour": _figure(price.usd_per_hour * devices),
        "paidUsd": _figure(per_second * usage.paid_seconds),
        "idleUsd": _figure(per_second * usage.idle_seconds),
        "basis": "measured",
        "busyBasis": "modelled",
    }
    found |= {"priceSource": price.source} if price.source else {}
    found |= {"priceDate": price.date} if price.date else {}
    if usage.calls:
        thousand = per_second * 1000 / usage.calls
        found["reservedPer1000"] = _figure(thousand * usage.paid_seconds)
        found["busyPer1000"] = _figure(thousand * usage.busy_seconds)
    return found


def _figure(value: float) -> float:
    """Six digits are for people."""
    return float(f"{value:.6g}")
