"""The start of a model's first pod: its phase, the seconds each phase took, when it should be ready, and the last starts.

All of it lives in the status itself, so a restart of the operator loses nothing: `status.start` is continued from what is
stored, and becomes an entry of `status.starts` when the pod is ready. Seconds of WaitingFor… and Pulling come from the cluster's
own times, those inside the pod from when the operator saw the phase begin (it asks every few seconds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from atheria_operator.domain.names import revision_name
from atheria_operator.domain.observed import Body, revision_hash_of
from atheria_operator.domain.pods import Told, is_ready, phase_of, seconds_between, start_times
from atheria_operator.domain.status.phases import STARTING, Phase

KEPT_STARTS: Final = 5
"""Starts in the history."""
_ORDER: Final = {phase.value: index for index, phase in enumerate(STARTING)}


def current_start(
    model: str, pod: Body, told: Told | None, before: Mapping[str, Any], now: str
) -> dict[str, Any] | None:
    """status.start of a pod that is not ready; `before` is the stored status, `now` RFC 3339. None for a ready pod."""
    if is_ready(pod):
        return None
    phase = phase_of(pod, told)
    name = str(pod["metadata"]["name"])
    known = before.get("start") or {}
    if known.get("pod") != name:
        known = {}
    started = known.get("startedAt") or start_times(pod).created
    start: dict[str, Any] = {
        "pod": name,
        "revision": revision_name(model, revision_hash_of(pod)),
        "startedAt": started,
        "phase": phase.value,
    }
    if known.get("phase") == phase.value:
        start |= {key: known[key] for key in ("since", "phases", "expectedAt") if key in known}
    else:
        start["since"] = _began(pod, phase, now)
        phases = _with(_seconds_of(known), known, start["since"])
        start["phases"] = _listed({**phases, **_cluster_phases(pod)})
        expected = _expected_at(before.get("starts") or (), phase, start["since"])
        if expected:
            start["expectedAt"] = expected
    step = told.step if told else None
    if step is not None and step.phase is phase:
        start |= {"done": step.done, "total": step.total} if step.total else {}
        start |= {"detail": step.detail} if step.detail else {}
    return start


def finished_start(
    model: str, pod: Body, before: Mapping[str, Any], basis: Mapping[str, Any]
) -> dict[str, Any]:
    """An entry of status.starts for a pod that is ready; `basis` is its status.coldStart."""
    known = before.get("start") or {}
    if known.get("pod") != pod["metadata"]["name"]:
        known = {}
    times = start_times(pod)
    phases = {**_with(_seconds_of(known), known, times.ready), **_cluster_phases(pod)}
    if not any(_ORDER.get(name, 0) > _ORDER[Phase.PULLING] for name in phases):
        # Never seen in between: what happened inside the pod is one figure.
        inside = seconds_between(times.running, times.ready)
        phases |= {} if inside is None else {Phase.LOADING.value: inside}
    return {
        "pod": str(pod["metadata"]["name"]),
        "revision": revision_name(model, revision_hash_of(pod)),
        "startedAt": times.created,
        "totalSeconds": float(basis.get("totalSeconds") or 0.0),
        "phases": _listed(phases),
    }


def history(before: Sequence[Mapping[str, Any]], entry: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """status.starts, newest first, with `entry` where its pod is new."""
    kept = [dict(one) for one in before]
    if entry is not None and all(one.get("pod") != entry["pod"] for one in kept):
        kept.insert(0, dict(entry))
    return kept[:KEPT_STARTS]


def phase_words(phases: Sequence[Mapping[str, Any]]) -> str:
    """`Pulling 5 s, Loading 12.5 s`, for messages and Events."""
    return ", ".join(f"{one['phase']} {one['seconds']:g} s" for one in phases)


def expectation_words(start: Mapping[str, Any] | None, starts: Sequence[Mapping[str, Any]]) -> str:
    """When it should be ready and from what that follows; empty without history."""
    if not start or not start.get("expectedAt"):
        return ""
    typical = median(float(one["totalSeconds"]) for one in starts)
    return (
        f"; expected ready at {start['expectedAt']} (median of the last {len(starts)} starts: {typical:g} s)"
    )


def _began(pod: Body, phase: Phase, now: str) -> str:
    """When the phase began: as the cluster wrote it where it did."""
    times = start_times(pod)
    if phase in (Phase.WAITING_FOR_GPU, Phase.WAITING_FOR_NODE):
        return times.created or now
    if phase is Phase.PULLING:
        return times.scheduled or now
    return now


def _cluster_phases(pod: Body) -> dict[str, float]:
    """Seconds of the phases before the container runs, which the cluster times itself."""
    times = start_times(pod)
    waiting = phase_of({**pod, "status": {}}).value
    found = {
        waiting: seconds_between(times.created, times.scheduled),
        Phase.PULLING.value: seconds_between(times.scheduled, times.running),
    }
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _with(phases: dict[str, float], known: Mapping[str, Any], until: str) -> dict[str, float]:
    """The seconds with those of the phase that has just ended; one that came back has both."""
    seconds = seconds_between(str(known.get("since") or ""), until)
    name = str(known.get("phase") or "")
    if seconds is None or name not in _ORDER:
        return phases
    return {**phases, name: phases.get(name, 0.0) + seconds}


def _seconds_of(start: Mapping[str, Any]) -> dict[str, float]:
    return {str(one["phase"]): float(one["seconds"]) for one in start.get("phases") or ()}


def _listed(phases: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {"phase": name, "seconds": round(seconds, 3)}
        for name, seconds in sorted(phases.items(), key=lambda item: _ORDER.get(item[0], 0))
    ]


def _expected_at(starts: Sequence[Mapping[str, Any]], phase: Phase, since: str) -> str:
    """When the pod should be ready: the medians of this phase and of those after it; empty without history."""
    if not starts or not since:
        return ""
    at = _ORDER[phase.value]
    rest = [
        sum(seconds for name, seconds in _seconds_of(one).items() if _ORDER.get(name, -1) >= at)
        for one in starts
    ]
    ready = datetime.fromisoformat(since) + timedelta(seconds=round(median(rest)))
    return ready.strftime("%Y-%m-%dT%H:%M:%SZ")
