"""Why a model does not answer calls, or that it does, with the next step. PURE; used by `explain`."""

from __future__ import annotations

from typing import Final

from atheria_cli.model.summary import Body, condition, is_seen
from atheria_cli.model.tables import start_words

_GATES: Final = ("Accepted", "QualityAccepted", "KvCacheAccepted", "ScalerReady")
"""Conditions of which False is a trouble of its own; Warm and Active are False wherever nobody calls."""


def readiness(body: Body) -> tuple[str, ...]:
    """The state of the spec as it is now first; then what the start does, what else is refused, and what to do."""
    status = body.get("status") or {}
    ready = condition(body, "Ready") or condition(body, "Accepted")
    name = body["metadata"]["name"]
    if not is_seen(body, ready):
        return (
            "not known: the operator has not seen the spec as it is now",
            "next step: atheria doctor says whether the operator runs, atheria logs --component operator what it does",
        )
    words = "ready" if ready["status"] == "True" and ready["type"] == "Ready" else "not ready"
    lines = [f"{words}: {ready.get('reason', '')}: {ready.get('message', '')}"]
    if status.get("start"):
        lines.append(f"it starts: {start_words(status['start'])}")
    if failure := status.get("failure"):
        lines.append(f"refused for good: {failure.get('reason', '')}: {failure.get('message', '')}")
    for kind in _GATES:
        found = condition(body, kind)
        if found.get("status") == "False" and found != ready:
            lines.append(f"{kind} is False: {found.get('reason', '')}: {found.get('message', '')}")
    if fault := status.get("fault"):
        if fault.get("nextStep"):
            lines.append(f"next step: {fault['nextStep']}")
        mends = (
            "time or another try may mend it"
            if fault.get("retriable")
            else "waiting does not mend it: the spec, or what it names, has to change"
        )
        lines.append(mends)
    elif words != "ready":
        lines.append(f"next step: wait (atheria watch {name} --until-ready), or read atheria logs {name}")
    return tuple(lines)
