"""The state of a rollout as status.rollout keeps it, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.state import Phase, RolloutState

MAX_BUCKETS: Final = 256
"""Of latencies that are stored; each is a quarter wider than the one before, so that they reach from 1 us to ages."""


def read_state(status: Mapping[str, Any]) -> RolloutState:
    """The state in a stored status; of a status from before there were rollouts, what can be told from it."""
    active = str(status.get("activeRevision") or "")
    stored = status.get("rollout")
    if stored is None:
        refused = str((status.get("failure") or {}).get("revision") or "")
        # Refused for good, and another revision answers: it had been given up.
        return RolloutState(active=active, returned=refused if refused != active else "")
    return RolloutState(
        active=active,
        candidate=str(stored.get("candidate") or ""),
        phase=Phase(stored.get("phase") or Phase.COMPLETE),
        step=int(stored.get("step") or 0),
        since=str(stored.get("since") or ""),
        is_proven=bool(stored.get("proven")),
        history=tuple(str(name) for name in stored.get("history") or ()),
        returned=str(stored.get("returned") or ""),
        cause=str(stored.get("cause") or ""),
        promoted=str(stored.get("promoted") or ""),
        answered=str(stored.get("answered") or ""),
    )


def read_counted(status: Mapping[str, Any]) -> dict[str, CallFigures]:
    """Calls of the step that the stored rollout is in, by revision, as they were written last."""
    return {
        str(one["revision"]): CallFigures(
            calls=int(one["calls"]),
            errors=int(one["errors"]),
            latency={
                float(bucket["upToSeconds"]): int(bucket["calls"]) for bucket in one.get("latency") or ()
            },
        )
        for one in (status.get("rollout") or {}).get("counted") or ()
    }


def write_counted(counted: Mapping[str, CallFigures], now: str) -> dict[str, Any]:
    """status.rollout.counted and countedAt; nothing before the first call. `now` is RFC 3339."""
    if not any(figures.calls for figures in counted.values()):
        return {}
    lines: list[dict[str, Any]] = []
    for name, figures in sorted(counted.items()):
        p95_seconds = figures.p95_seconds
        latency = [
            {"upToSeconds": bound, "calls": calls}
            for bound, calls in sorted(figures.latency.items())
            if math.isfinite(bound)
        ]
        told = {} if p95_seconds is None else {"p95Seconds": float(f"{p95_seconds:.4g}")}
        lines.append(
            {
                "revision": name,
                "calls": figures.calls,
                "errors": figures.errors,
                **told,
                "latency": latency[:MAX_BUCKETS],
            }
        )
    return {"counted": lines, "countedAt": now}


def write_state(state: RolloutState) -> dict[str, Any]:
    """status.rollout; what says nothing is left out."""
    told: dict[str, Any] = {
        "candidate": state.candidate,
        "step": state.step,
        "since": state.since,
        "history": list(state.history),
        "returned": state.returned,
        "cause": state.cause[:1024],
        "promoted": state.promoted,
        "answered": state.answered,
    }
    return {
        "phase": state.phase.value,
        "proven": state.is_proven,
        **{name: value for name, value in told.items() if value},
    }
