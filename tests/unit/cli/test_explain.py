"""`atheria explain` on models as the API server shows them."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from atheria_cli.explain import command_explain, explanation

DECISION: dict[str, Any] = {
    "time": "2026-01-01T00:00:00Z",
    "before": 1,
    "replicas": 3,
    "reason": "NoCapacity",
    "message": "0 calls held and 40 in flight need 6: 3, within 0 to 8",
    "formula": "max(places for 38: 45.4, burst 30) / 8 = 5.68, from 9.5 calls/s x 4 s",
    "bound": "no node for more pods",
    "inputs": {"held": 0, "inFlight": 40, "arrivalsPerSecond": 9.5, "serviceSeconds": 4.01234, "ready": 3},
}


def shown(body: Any) -> str:
    """As it is printed, on one line."""
    console = Console(width=300)
    with console.capture() as printed:
        console.print(explanation(body))
    return " ".join(printed.get().split())


def model(scaling: dict[str, Any], *decisions: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "demo", "name": "qca"},
        "spec": {"replicas": 3, "scaling": {"maxReplicas": 8, "target": 8, **scaling}},
        "status": {"readyReplicas": 2, "lastDecisions": list(decisions)},
    }


def test_inputs_formula_and_bound_of_each_decision_are_shown() -> None:
    words = shown(model({}, DECISION))
    assert "demo/qca: 3 pods asked for, 2 ready, from 0 to 8" in words
    assert "queueDepth, target 8 calls a pod at 85 %" in words
    for part in ("1 -> 3", "NoCapacity", "40 in flight", "9.5 calls/s", "4.01 s of work a call", "3 ready"):
        assert part in words
    assert "pods = max(places for 38: 45.4, burst 30) / 8 = 5.68" in words


def test_a_decision_of_an_older_operator_is_shown_with_what_it_has() -> None:
    old = {key: DECISION[key] for key in ("time", "replicas", "reason", "message")}
    words = shown(model({}, old))
    assert "newest: 0 calls held and 40 in flight need 6" in words
    assert "pods =" not in words


def test_a_model_without_decisions_says_who_decides() -> None:
    assert "no decision has changed anything yet" in shown(model({}))
    assert "decided by Atheria" in shown(model({}, DECISION))
    assert "decided by whoever writes spec.replicas" in shown(model({"class": "external"}))
    assert "decided by a HorizontalPodAutoscaler" in shown(model({"class": "hpa"}, DECISION))


def test_a_decider_that_cannot_work_is_told_with_the_next_step() -> None:
    body = model({"class": "keda"})
    body["status"]["conditions"] = [
        {"type": "ScalerReady", "status": "False", "reason": "KedaMissing", "message": "install KEDA"}
    ]
    assert "decided by KEDA" in shown(body)
    assert "it cannot yet: KedaMissing: install KEDA" in shown(body)


def test_a_class_of_a_newer_operator_is_named() -> None:
    assert "class magic, which this atheria does not know" in shown(model({"class": "magic"}))


def test_targets_are_told_in_their_own_unit() -> None:
    assert "target 500ms" in shown(model({"metric": "latency", "latencyTarget": "500ms"}))
    assert "target 8 calls/s a pod" in shown(model({"metric": "requestsPerSecond"}))


def test_the_model_is_read_by_its_full_kind() -> None:
    class Cluster:
        def kubectl(self, *arguments: str) -> str:
            assert arguments == ("get", "atheriamodels.atheria.dev", "qca", "-n", "demo", "-o", "json")
            return json.dumps(model({}, DECISION))

    assert command_explain(Cluster(), "qca", "demo")


def test_the_last_start_is_shown_by_phase_as_far_as_it_was_measured() -> None:
    body = model({}, DECISION)
    assert "last start" not in shown(body)
    start = {"scheduledSeconds": 0.0, "startedSeconds": 1.0, "readySeconds": 3.0, "totalSeconds": 4.0}
    body["status"]["coldStart"] = start
    words = (
        "last start from zero: 4 s from pod to ready: a node 0 s, volumes, image and container 1 s, ready 3 s"
    )
    assert shown(body).endswith(words)
    start["server"] = {"importSeconds": 1.9234, "loadSeconds": 0.02, "warmupSeconds": 0.2}
    assert shown(body).endswith(
        f"{words}, of which the server: imports 1.92 s, the model 0.02 s, warm-up 0.2 s"
    )
    assert "last start from zero: 4 s" in shown({**body, "status": {"coldStart": start}})
