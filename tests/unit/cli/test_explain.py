"""`atheria explain` on models as the API server shows them."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from atheria_cli.explain.command import as_json, command_explain, explanation
from atheria_cli.options import Output

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
        "metadata": {"namespace": "demo", "name": "qca", "generation": 2},
        "spec": {"replicas": 3, "scaling": {"maxReplicas": 8, "target": 8, **scaling}},
        "status": {"readyReplicas": 2, "lastDecisions": list(decisions)},
    }


def test_inputs_formula_and_bound_of_each_decision_are_shown() -> None:
    words = shown(model({}, DECISION))
    assert "demo/qca Why this many pods 3 pods asked for, 2 ready, from 0 to 8" in words
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


class FakeCluster:
    def kubectl(self, *arguments: str) -> str:
        assert arguments == ("get", "atheriamodels.atheria.dev", "qca", "-n", "demo", "-o", "json")
        return json.dumps(model({}, DECISION))


def test_the_model_is_read_by_its_full_kind_and_its_decisions_are_printed_for_people_and_for_programs() -> (
    None
):
    console = Console(width=300)
    with console.capture() as printed:
        command_explain(FakeCluster(), "qca", "demo", Output.TABLE, console)
    assert "newest: 0 calls held" in printed.get()
    with console.capture() as printed:
        command_explain(FakeCluster(), "qca", "demo", Output.JSON, console)
    document = json.loads(printed.get())
    assert (document["namespace"], document["name"]) == ("demo", "qca")
    assert document["replicas"]["decisions"] == [DECISION]
    assert "newest: 0 calls held and 40 in flight need 6: 3, within 0 to 8" in document["replicas"]["why"]


def test_the_last_start_is_shown_by_phase_as_far_as_it_was_measured() -> None:
    body = model({}, DECISION)
    assert "last start" not in shown(body)
    start = {"scheduledSeconds": 0.0, "startedSeconds": 1.0, "readySeconds": 3.0, "totalSeconds": 4.0}
    body["status"]["coldStart"] = start
    words = (
        "last start from zero: 4 s from pod to ready: a node 0 s, volumes, image and container 1 s, ready 3 s"
    )
    assert f"{words} Why it is ready" in shown(body)
    start["server"] = {"importSeconds": 1.9234, "loadSeconds": 0.02, "warmupSeconds": 0.2}
    assert f"{words}, of which the server: imports 1.92 s, the model 0.02 s, warm-up 0.2 s Why" in shown(body)
    assert "last start from zero: 4 s" in shown({**body, "status": {"coldStart": start}})


def with_condition(kind: str, status: str, reason: str, message: str, **more: Any) -> dict[str, Any]:
    body = model({})
    body["status"] |= {"conditions": [condition(kind, status, reason, message)], **more}
    return body


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 2}


def test_why_it_is_not_ready_is_told_with_the_next_step_and_who_can_mend_it() -> None:
    fault = {"reason": "NoNode", "retriable": False, "nextStep": "add an L4 pool"}
    body = with_condition("Ready", "False", "NoNode", "no node has a GPU", fault=fault)
    assert as_json(body)["ready"]["why"] == [
        "not ready: NoNode: no node has a GPU",
        "next step: add an L4 pool",
        "waiting does not mend it: the spec, or what it names, has to change",
    ]
    body["status"]["fault"]["retriable"] = True
    assert as_json(body)["ready"]["why"][-1] == "time or another try may mend it"


def test_a_ready_model_says_so_and_a_model_at_zero_too() -> None:
    body = with_condition("Ready", "True", "ScaledToZero", "a call wakes it")
    assert as_json(body)["ready"]["why"] == ["ready: ScaledToZero: a call wakes it"]


def test_a_start_and_what_else_is_refused_are_told_beside_the_condition() -> None:
    start = {"phase": "Downloading", "since": "2026-01-01T00:00:00Z", "done": 3, "total": 9}
    body = with_condition("Ready", "False", "Starting", "the first pod starts", start=start)
    body["status"]["conditions"].append(
        condition("QualityAccepted", "False", "QualityRejected", "F_16 is 0.9")
    )
    assert as_json(body)["ready"]["why"] == [
        "not ready: Starting: the first pod starts",
        "it starts: Downloading since 2026-01-01T00:00:00Z, 3 of 9",
        "QualityAccepted is False: QualityRejected: F_16 is 0.9",
        "next step: wait (atheria watch qca --until-ready), or read atheria logs qca",
    ]


def test_a_spec_that_the_operator_has_not_seen_is_not_called_ready() -> None:
    body = with_condition("Ready", "True", "Ready", "1 of 1 pods answer calls")
    body["metadata"]["generation"] = 3
    assert as_json(body)["ready"]["why"][0].startswith(
        "not known: the operator has not seen the spec as it is"
    )
    assert as_json(model({}))["ready"]["why"][0].startswith("not known")


def test_why_this_precision_has_what_was_asked_for_chosen_weighed_and_judged() -> None:
    body = model({})
    body["spec"]["precision"] = {"policy": "auto"}
    body["status"] |= {
        "precision": {"chosen": "int8", "why": "nf4 failed its gate", "weightBytes": 842123},
        "quality": {
            "passed": True,
            "message": "all within their limits",
            "metrics": [
                {"name": "F_16", "value": 0.99, "limit": 0.98, "better": "higher", "outcome": "passed"}
            ],
        },
        "kvCache": {"precision": "int8", "wanted": "int4", "steppedBack": True, "why": "int4 agreed 0.91"},
    }
    assert as_json(body)["precision"]["why"] == [
        "asked for: auto: the cheapest that the hardware has, that fits its memory and that passes spec.quality",
        "runs: int8: nf4 failed its gate",
        "weights: 842,123 bytes (measured)",
        "quality against fp32: passed: all within their limits",
        "  F_16 0.99 (measured), limit 0.98, higher is better: passed",
        "keys and values: int8, not int4 as asked for: int4 agreed 0.91",
    ]
    assert "Why this precision asked for: auto" in shown(body)


def test_a_precision_that_no_pod_has_told_yet_is_not_claimed() -> None:
    body = model({})
    assert as_json(body)["precision"]["why"] == [
        "asked for: fp32, as spec.precision does not say",
        "no pod has told yet what it runs: the first that starts does",
    ]
    body["spec"]["precision"] = {"policy": "hierarchy", "backbone": "int8"}
    assert (
        as_json(body)["precision"]["why"][0] == "asked for: hierarchy: encoder int8, backbone int8, head bf16"
    )


def test_no_word_is_cut_on_a_narrow_terminal() -> None:
    console = Console(width=40)
    with console.capture() as printed:
        console.print(explanation(model({}, DECISION)))
    assert "…" not in printed.get()
    assert max(map(len, printed.get().splitlines())) <= 40
