"""Why a model has as many pods as it has, from the decisions in its status. PURE; used by `explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from atheria_cli.model.summary import Body, condition

_START_PARTS: Final = {
    "scheduledSeconds": "a node",
    "startedSeconds": "volumes, image and container",
    "readySeconds": "ready",
}
_SERVER_PARTS: Final = {"importSeconds": "imports", "loadSeconds": "the model", "warmupSeconds": "warm-up"}
_DECIDERS: Final = {
    "atheria": "Atheria (class atheria)",
    "hpa": "a HorizontalPodAutoscaler from one pod up, and by Atheria to and from zero (class hpa)",
    "keda": "KEDA, with calls waking the model in any case (class keda)",
    "external": "whoever writes spec.replicas (class external)",
}


def asked_for(body: Body) -> tuple[str, ...]:
    """What is asked for now, and who decides it."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    scaling = spec.get("scaling") or {}
    words = (
        f"{spec.get('replicas', 0)} pods asked for, {status.get('readyReplicas', 0)} ready, from {scaling.get('minReplicas', 0)} "
        f"to {scaling.get('maxReplicas', 1)}; metric {scaling.get('metric', 'queueDepth')}, target {_target(scaling)}"
    )
    return (words, _decider(str(scaling.get("class", "atheria")), body))


def decisions(body: Body) -> Sequence[Mapping[str, Any]]:
    """The autoscaler's last changes as the status has them, newest first."""
    found: Sequence[Mapping[str, Any]] = (body.get("status") or {}).get("lastDecisions") or ()
    return found


def computation(body: Body) -> tuple[str, ...]:
    """How the newest change was computed, and how long the last start took."""
    found = decisions(body)
    start = _last_start(body.get("status") or {})
    if not found:
        return ("no decision has changed anything yet", *start)
    formula = found[0].get("formula")
    return (f"newest: {found[0]['message']}", *((f"pods = {formula}",) if formula else ()), *start)


def _last_start(status: Mapping[str, Any]) -> tuple[str, ...]:
    """About status.coldStart; none before the first start. The cluster counts whole seconds, the server exactly."""
    start = status.get("coldStart") or {}
    if start.get("totalSeconds") is None:
        return ()
    outside = _seconds_of(start, _START_PARTS)
    inside = _seconds_of(start.get("server") or {}, _SERVER_PARTS)
    of = f", of which the server: {inside}" if inside else ""
    return (f"last start from zero: {start['totalSeconds']:g} s from pod to ready: {outside}{of}",)


def _seconds_of(seconds: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    return ", ".join(f"{words} {seconds[name]:.3g} s" for name, words in parts.items() if name in seconds)


def _decider(scaling_class: str, body: Body) -> str:
    """Who decides, and in its own words whether that works."""
    if scaling_class not in _DECIDERS:
        return f"decided by class {scaling_class}, which this atheria does not know"
    scaler = condition(body, "ScalerReady")
    works = not scaler or scaler.get("status") == "True"
    trouble = "" if works else f"; it cannot yet: {scaler.get('reason')}: {scaler.get('message')}"
    return f"decided by {_DECIDERS[scaling_class]}{trouble}"


def _target(scaling: Mapping[str, Any]) -> str:
    if scaling.get("metric") == "latency":
        return str(scaling.get("latencyTarget", "1s"))
    unit = "calls/s" if scaling.get("metric") == "requestsPerSecond" else "calls"
    return f"{scaling.get('target', 4)} {unit} a pod at {scaling.get('targetUtilization', 85)} %"
