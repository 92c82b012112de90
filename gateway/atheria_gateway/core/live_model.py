"""What the live page shows of a model and no other part of the gateway needs; kept by runtime/world.py only where there is a page.

The page is for all who reach the port: no credentials of sources, parameters only of our own models, which hold no secrets, and not the last
words of a container that failed, which may say anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from atheria_gateway.core.model import ModelKey

LONGEST_TEXT: Final = 400
"""Characters of a sentence that are shown."""
LONGEST_VALUE: Final = 64
"""Characters of a parameter that are shown."""
OWN_SOURCE: Final = "builtin://"
"""Of models whose parameters are known to hold no secrets."""

_LAST_WORDS: Final = re.compile(r"\blast ended\b.*", re.DOTALL)
"""What the operator writes before a container's last line (its domain/pods.py), also where a rollout tells it as its cause."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDecision:
    """The autoscaler's newest change."""

    reason: str
    message: str
    at: str
    """RFC 3339 in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """One model as its spec and status tell it; None is unknown."""

    runtime: str | None = None
    source: str | None = None
    parameters: tuple[tuple[str, Scalar], ...] | None = None
    """By name; None where they may hold anything."""
    phase: str | None = None
    reason: str | None = None
    """Of the Ready condition, one word."""
    message: str | None = None
    """Of the Ready condition, a sentence, without the last words of a container that failed."""
    asked: int | None = None
    """Pods asked for."""
    ready: int | None = None
    pods: int | None = None
    queue: int | None = None
    """Calls held or in flight at all gateways when the operator computed the status."""
    cost_per_1000_usd: float | None = None
    cost_basis: str | None = None
    cost_unknown: str | None = None
    """Why there is no cost, in words; None where there is one, and where nothing was counted yet."""
    last_decision: LastDecision | None = None


def live_model_from_object(body: Mapping[str, Any]) -> LiveModel:
    """Read an AtheriaModel as the API server returns it; what is absent is None."""
    spec = body.get("spec") or {}
    status = body.get("status") or {}
    model = spec.get("model") or {}
    cost = status.get("cost") or {}
    metadata = body.get("metadata") or {}
    key = ModelKey(namespace=str(metadata.get("namespace") or ""), name=str(metadata.get("name") or ""))
    ready: Mapping[str, Any] = next(
        (one for one in status.get("conditions") or () if one.get("type") == "Ready"), {}
    )
    source = _text(model.get("source"))
    return LiveModel(
        runtime=_text(model.get("runtime")),
        source=None if source is None else without_credentials(source),
        parameters=_parameters(model.get("parameters") or {}) if _is_own(source) else None,
        phase=_text(status.get("phase")),
        reason=_text(ready.get("reason")),
        message=_text(_without_last_words(str(ready.get("message") or ""), key)),
        asked=_whole(spec.get("replicas")),
        ready=_whole(status.get("readyReplicas")),
        pods=_whole(status.get("replicas")),
        queue=_whole(status.get("queue")),
        cost_per_1000_usd=_number(cost.get("reservedPer1000")),
        cost_basis=_text(cost.get("basis")) if cost.get("reservedPer1000") is not None else None,
        cost_unknown=_why_no_cost(cost),
        last_decision=_decision(status.get("lastDecisions") or ()),
    )


def without_credentials(source: str) -> str:
    """A source without user, password, query and fragment; one that cannot be read as a URL is its scheme alone."""
    try:
        parts = urlsplit(source)
    except ValueError:
        return f"{source.partition('://')[0]}://…" if "://" in source else "…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _without_last_words(message: str, key: ModelKey) -> str:
    hint = f"last ended: its last words are in kubectl describe atheriamodel {key.name} -n {key.namespace}"
    return _LAST_WORDS.sub(lambda _: hint, message)


def _is_own(source: str | None) -> bool:
    return source is not None and source.startswith(OWN_SOURCE)


def _parameters(values: Mapping[str, Any]) -> tuple[tuple[str, Scalar], ...]:
    """Numbers, booleans and short words; all else is left out."""
    return tuple(
        (name, value)
        for name, value in sorted(values.items())
        if (isinstance(value, bool | int | float) and isfinite(value))
        or (isinstance(value, str) and len(value) <= LONGEST_VALUE)
    )


def _why_no_cost(cost: Mapping[str, Any]) -> str | None:
    """Of the operator's sums (its domain/cost.py), which begin anew every day and have a price where the hardware profile has one."""
    if not cost or cost.get("reservedPer1000") is not None:
        return None
    return "no price" if cost.get("usdPerHour") is None else "no call in this period"


def _decision(decisions: Any) -> LastDecision | None:
    newest = next(iter(decisions), None)
    if newest is None:
        return None
    return LastDecision(
        reason=_text(newest.get("reason")) or "",
        message=_text(newest.get("message")) or "",
        at=_text(newest.get("time")) or "",
    )


def _text(value: Any) -> str | None:
    return str(value)[:LONGEST_TEXT] if value else None


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _number(value: Any) -> float | None:
    return float(value) if value is not None and isfinite(float(value)) else None
