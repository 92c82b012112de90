"""`fleet.json` of the live page: the models as the cluster tells them, with what this gateway counts of them. Rendered by runtime/fleet.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from atheria_gateway.core.live_model import LiveModel
from atheria_gateway.core.model import ModelKey

MODELS_MOST: Final = 500
"""So many are listed, those with calls first; `total` says how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """A model's calls at this gateway pod."""

    held: int = 0
    in_flight: int | None = None
    """Calls that pods have; None while Envoy's figures are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All that is shown at one moment."""

    unix_s: float
    """When, seconds since 1970."""
    pod: str
    """Name of this gateway pod."""
    gateways: int
    """Gateway pods that take calls."""
    is_ready: bool
    """Envoy has what this gateway knows."""
    models: Mapping[ModelKey, LiveModel]
    calls: Mapping[ModelKey, Calls]
    """Of models without an entry nothing is known."""


def render_fleet(fleet: Fleet) -> dict[str, Any]:
    """JSON-ready: `time`, `gateway`, `total` and at most MODELS_MOST `models`, by namespace and name; what is unknown is None."""
    keys = sorted(fleet.models, key=lambda key: (key.namespace, key.name))
    shown = sorted(
        sorted(keys, key=lambda key: _is_quiet(fleet.calls.get(key)))[:MODELS_MOST],
        key=lambda key: (key.namespace, key.name),
    )
    known = [one.in_flight for one in fleet.calls.values() if one.in_flight is not None]
    return {
        "time": datetime.fromtimestamp(fleet.unix_s, UTC).isoformat(timespec="milliseconds"),
        "gateway": {
            "pod": fleet.pod,
            "gateways": fleet.gateways,
            "ready": fleet.is_ready,
            "held": sum(one.held for one in fleet.calls.values()),
            "inFlight": sum(known) if known else None,
        },
        "total": len(keys),
        "models": [_model(key, fleet.models[key], fleet.calls.get(key, Calls())) for key in shown],
    }


def _is_quiet(calls: Calls | None) -> bool:
    return calls is None or not (calls.held or calls.in_flight)


def _model(key: ModelKey, model: LiveModel, calls: Calls) -> dict[str, Any]:
    decision = model.last_decision
    return {
        "namespace": key.namespace,
        "name": key.name,
        "runtime": model.runtime,
        "source": model.source,
        "parameters": None if model.parameters is None else dict(model.parameters),
        "phase": model.phase,
        "reason": model.reason,
        "message": model.message,
        "asked": model.asked,
        "ready": model.ready,
        "pods": model.pods,
        "held": calls.held,
        "inFlight": calls.in_flight,
        "queue": model.queue,
        "costPer1000Usd": model.cost_per_1000_usd,
        "costBasis": model.cost_basis,
        "costUnknown": model.cost_unknown,
        "lastDecision": None
        if decision is None
        else {"reason": decision.reason, "message": decision.message, "at": decision.at},
    }
