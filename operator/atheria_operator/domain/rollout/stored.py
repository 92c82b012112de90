"""The state of a rollout as status.rollout keeps it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_operator.domain.rollout.state import Phase, RolloutState


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
