"""`atheria explain`: why a model has the pods it has, from the decisions in its status. Called by `__main__`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from atheria_contract import names

_INPUTS: Final = (
    ("held", "held"),
    ("inFlight", "in flight"),
    ("arrivalsPerSecond", "calls/s"),
    ("burstPerSecond", "calls/s in a burst"),
    ("serviceSeconds", "s of work a call"),
    ("ready", "ready"),
    ("starting", "starting"),
    ("unschedulable", "without a node"),
    ("coldStartSeconds", "s a start"),
)
"""Name in status.lastDecisions[].inputs, and what it counts."""

_START_PARTS: Final = {
    "scheduledSeconds": "a node",
    "startedSeconds": "volumes, image and container",
    "readySeconds": "ready",
}
_SERVER_PARTS: Final = {"importSeconds": "imports", "loadSeconds": "the model", "warmupSeconds": "warm-up"}


class Kubectl(Protocol):
    """As `demo.cluster.Cluster` has it."""

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return what it printed."""
        ...


_DECIDERS: Final = {
    "atheria": "Atheria (class atheria)",
    "hpa": "a HorizontalPodAutoscaler from one pod up, and by Atheria to and from zero (class hpa)",
    "keda": "KEDA, with calls waking the model in any case (class keda)",
    "external": "whoever writes spec.replicas (class external)",
}


def command_explain(cluster: Kubectl, model: str, namespace: str) -> RenderableType:
    """What is asked for now, the autoscaler's last changes as a table, and how the newest was computed."""
    kind = f"{names.MODEL_PLURAL}.{names.GROUP}"
    return explanation(json.loads(cluster.kubectl("get", kind, model, "-n", namespace, "-o", "json")))


def explanation(body: Mapping[str, Any]) -> RenderableType:
    """The same from the body of an AtheriaModel."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    scaling = spec.get("scaling") or {}
    head = Text(
        f"{body['metadata']['namespace']}/{body['metadata']['name']}: {spec.get('replicas', 0)} pods asked for, "
        f"{status.get('readyReplicas', 0)} ready, from {scaling.get('minReplicas', 0)} to {scaling.get('maxReplicas', 1)}; metric "
        f"{scaling.get('metric', 'queueDepth')}, target {_target(scaling)}"
    )
    decider = Text(_decider(str(scaling.get("class", "atheria")), status))
    decisions = status.get("lastDecisions") or []
    if not decisions:
        return Group(head, decider, Text("no decision has changed anything yet"), *_last_start(status))
    table = Table("time", "pods", "why", "held back by", "seen")
    for decision in decisions:
        inputs = decision.get("inputs") or {}
        before = f"{decision['before']} -> " if "before" in decision else ""
        table.add_row(
            decision["time"],
            f"{before}{decision['replicas']}",
            decision["reason"],
            decision.get("bound", ""),
            ", ".join(f"{float(inputs[name]):.3g} {unit}" for name, unit in _INPUTS if name in inputs),
        )
    newest = decisions[0]
    lines = [Text(f"newest: {newest['message']}")]
    if newest.get("formula"):
        lines.append(Text(f"pods = {newest['formula']}"))
    return Group(head, decider, table, *lines, *_last_start(status))


def _last_start(status: Mapping[str, Any]) -> list[Text]:
    """A line about status.coldStart; none before the first start. The cluster counts whole seconds, the server exactly."""
    start = status.get("coldStart") or {}
    if start.get("totalSeconds") is None:
        return []
    outside = _seconds_of(start, _START_PARTS)
    inside = _seconds_of(start.get("server") or {}, _SERVER_PARTS)
    of = f", of which the server: {inside}" if inside else ""
    return [Text(f"last start from zero: {start['totalSeconds']:g} s from pod to ready: {outside}{of}")]


def _seconds_of(seconds: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    return ", ".join(f"{words} {seconds[name]:.3g} s" for name, words in parts.items() if name in seconds)


def _decider(scaling_class: str, status: Mapping[str, Any]) -> str:
    """Who decides, and in its own words whether that works."""
    if scaling_class not in _DECIDERS:
        return f"decided by class {scaling_class}, which this atheria does not know"
    words = f"decided by {_DECIDERS[scaling_class]}"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "ScalerReady" and condition.get("status") != "True":
            words += f"; it cannot yet: {condition.get('reason')}: {condition.get('message')}"
    return words


def _target(scaling: Mapping[str, Any]) -> str:
    if scaling.get("metric") == "latency":
        return str(scaling.get("latencyTarget", "1s"))
    unit = "calls/s" if scaling.get("metric") == "requestsPerSecond" else "calls"
    return f"{scaling.get('target', 4)} {unit} a pod at {scaling.get('targetUtilization', 85)} %"
