"""QualityAccepted, what stays at zero, and a refusal that is not hidden by going there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from atheria_contract import names
from atheria_contract.optimization import CompileConfig, PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.pods import start_key
from atheria_operator.domain.status.optimization import is_baseline
from atheria_operator.domain.status.report import read_report
from atheria_operator.domain.status.summary import StatusInput, build_status

REJECTED = "atheria-server: error: QualityRejected: C4 is 4.5 %, the limit is 5e-02"


def deployment(revision: str, replicas: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {
            "name": f"qca-{revision}",
            "labels": {names.LABEL_REVISION: revision},
            "ownerReferences": [{"uid": "u"}],
        },
        "spec": {"replicas": replicas},
    }


def pod(
    name: str, revision: str, *, ready: bool = False, ended: str = "", created: int = 0
) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "model", "ready": ready, "state": {"running": {"startedAt": "s"}}}
    if ended:
        container["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
        container["lastState"] = {"terminated": {"exitCode": 1, "message": ended}}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {names.LABEL_REVISION: revision},
            "creationTimestamp": f"2026-01-01T00:00:0{created}Z",
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container],
        },
    }


def status_of(*objects: Any, active: str = "qca-b", **more: Any) -> dict[str, Any]:
    children = {(o["kind"], o["metadata"]["name"]): o for o in objects if "kind" in o}
    observed = Observed(children=children, pods=tuple(o for o in objects if "kind" not in o))
    given = StatusInput(
        key=ModelKey(namespace="demo", name="qca"),
        uid="u",
        generation=3,
        observed=observed,
        desired_revision="qca-b",
        active_revision=active,
        **more,
    )
    return build_status(given, "2026-01-01T00:00:09Z")


def condition(status: Mapping[str, Any], kind: str) -> tuple[str, str, str]:
    found = next(c for c in status["conditions"] if c["type"] == kind)
    return found["status"], found["reason"], found["message"]


def told(passed: bool | None, reason: str, *metrics: Any, pod: str = "p") -> Mapping[str, Any]:
    quality = {"passed": passed, "profile": "default", "reason": reason, "measurements": list(metrics)}
    answer = {"quality": quality, "precision": {"policy": "nf4"}, "weight_bytes": 7}
    return read_report(answer, revision="qca-b", pod=pod)


def test_a_variant_that_passed_is_accepted_with_its_metrics_against_their_limits() -> None:
    report = told(
        True, "Passed", {"name": "F_8", "value": 0.9997, "limit": 0.98}, {"name": "S", "value": 1.0}
    )
    status = status_of(deployment("b", 1), pod("p", "b", ready=True), reports={"uid-p/s": report})
    truth, reason, message = condition(status, "QualityAccepted")
    assert (truth, reason) == ("True", "Passed")
    assert "profile default" in message
    assert message.endswith(": F_8 0.9997 (limit 0.98)")
    assert status["precision"]["weightBytes"] == 7


def test_the_servers_own_words_are_not_repeated_in_others() -> None:
    quality = {"passed": True, "reason": "Passed", "message": "closest: F_8", "measurements": []}
    report = read_report({"quality": quality}, revision="qca-b", pod="p")
    status = status_of(deployment("b", 1), pod("p", "b", ready=True), reports={"uid-p/s": report})
    assert condition(status, "QualityAccepted") == ("True", "Passed", "closest: F_8")


@pytest.mark.parametrize(
    ("passed", "reason", "truth"),
    [(True, "Baseline", "True"), (False, "AllowedUnvalidated", "False"), (None, "NotJudged", "Unknown"), (None, "", "Unknown")],
)  # fmt: skip
def test_other_verdicts_say_what_they_are(passed: bool | None, reason: str, truth: str) -> None:
    status = status_of(
        deployment("b", 1), pod("p", "b", ready=True), reports={"uid-p/s": told(passed, reason)}
    )
    assert condition(status, "QualityAccepted")[:2] == (truth, reason or "NotJudged")


def test_of_several_ready_pods_the_newest_that_told_counts() -> None:
    reports = {"uid-p/s": told(True, "Passed", pod="p"), "uid-q/s": told(True, "Passed", pod="q")}
    pods = [
        pod("q", "b", ready=True, created=2),
        pod("p", "b", ready=True, created=1),
        pod("r", "b", ready=True, created=3),
    ]
    assert status_of(deployment("b", 3), *pods, reports=reports)["quality"]["pod"] == "q"


def test_what_was_told_stays_at_zero() -> None:
    before = status_of(
        deployment("b", 1), pod("p", "b", ready=True), reports={"uid-p/s": told(True, "Passed")}
    )
    status = status_of(deployment("b", 0), before=before)
    assert (status["quality"], status["precision"]) == (before["quality"], before["precision"])
    assert condition(status, "QualityAccepted")[:2] == ("True", "Passed")


def test_the_verdict_of_another_revision_is_shown_but_does_not_count() -> None:
    before = {"quality": {"revision": "qca-a", "pod": "o", "passed": True, "reason": "Passed"}}
    status = status_of(deployment("a", 1), deployment("b", 1), active="qca-a", before=before)
    assert status["quality"]["revision"] == "qca-a"
    assert condition(status, "QualityAccepted")[:2] == ("Unknown", "NotJudged")


def test_a_model_as_it_is_needs_no_verdict() -> None:
    truth, reason, _ = condition(status_of(deployment("b", 0), is_baseline=True), "QualityAccepted")
    assert (truth, reason) == ("True", "Baseline")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"precision": PrecisionConfig(policy="bf16")}, False),
        ({"precision": PrecisionConfig(compute="bf16")}, False),
        ({"compile": CompileConfig(mode="aot")}, False),
        # Groups count with the policy hierarchy only.
        ({"precision": PrecisionConfig(backbone="int8")}, True),
    ],
)
def test_what_a_baseline_is(change: dict[str, Any], expected: bool) -> None:
    assert is_baseline(ServingConfig(name="m", source="s", **change)) is expected


def test_a_rejected_variant_says_so_in_ready_and_in_quality_with_the_failing_metric() -> None:
    status = status_of(deployment("b", 1), pod("p", "b", ended=REJECTED))
    for kind in ("Ready", "QualityAccepted"):
        truth, reason, message = condition(status, kind)
        assert (truth, reason) == ("False", "QualityRejected")
        assert "C4 is 4.5 %, the limit is 5e-02" in message
    assert status["phase"] == "Failed"
    assert status["fault"]["retriable"] is False
    assert status["failure"]["revision"] == "qca-b"


@pytest.mark.parametrize("reason", ["PrecisionUnsupported", "CompileFailed", "DigestMismatch"])
def test_another_refusal_is_the_reason_of_both_but_nothing_was_judged(reason: str) -> None:
    words = f"atheria-server: error: {reason}: no such thing here"
    status = status_of(deployment("b", 1), pod("p", "b", ended=words))
    assert condition(status, "Ready")[:2] == ("False", reason)
    assert condition(status, "QualityAccepted")[:2] == ("Unknown", reason)


def test_a_refusal_is_not_hidden_between_two_starts_nor_at_zero() -> None:
    before = status_of(deployment("b", 1), pod("p", "b", ended=REJECTED))
    for objects in ([deployment("b", 1)], [deployment("b", 1), pod("n", "b")], [deployment("b", 0)]):
        status = status_of(*objects, before=before)
        assert condition(status, "Ready")[:2] == ("False", "QualityRejected")
        assert condition(status, "QualityAccepted")[:2] == ("False", "QualityRejected")


def test_a_refusal_is_over_when_a_pod_is_ready_or_another_revision_is_wanted() -> None:
    before = status_of(deployment("b", 1), pod("p", "b", ended=REJECTED))
    recovered = status_of(deployment("b", 1), pod("n", "b", ready=True), before=before)
    assert condition(recovered, "Ready")[:2] == ("True", "Ready")
    assert "failure" not in recovered
    other = {**before, "failure": {**before["failure"], "revision": "qca-a"}}
    changed = status_of(deployment("b", 0), before=other)
    assert condition(changed, "Ready")[:2] == ("True", "ScaledToZero")
    assert "failure" not in changed


def test_a_source_that_is_away_is_tried_again_and_forgotten_at_zero() -> None:
    words = "atheria-server: error: SourceUnavailable: https://h/p does not answer"
    failing = status_of(deployment("b", 1), pod("p", "b", ended=words))
    truth, reason, message = condition(failing, "Ready")
    assert (truth, reason) == ("False", "SourceUnavailable")
    assert "started again" in message
    assert "failure" not in failing
    assert condition(status_of(deployment("b", 0), before=failing), "Ready")[:2] == ("True", "ScaledToZero")


@pytest.mark.parametrize(
    ("passed", "truth"),
    [(True, ("True", "WarmedUp")), (False, ("False", "NotSteady"))],
    ids=["steady", "not"],
)
def test_a_pod_whose_first_calls_were_slow_is_not_warm_and_says_which(
    passed: bool, truth: tuple[str, str]
) -> None:
    answer = {"steadiness": {"passed": passed, "ratio": 1.43, "bucket": "[16, 64, 64] x 8"}}
    ready = pod("p", "b", ready=True)
    reports = {start_key(ready): read_report(answer, revision="qca-b", pod="p")}
    status = status_of(deployment("b", 1), ready, reports=reports)
    assert condition(status, "Warm")[:2] == truth
    if not passed:
        assert "[16, 64, 64] x 8 took 1.43 times" in condition(status, "Warm")[2]
    assert condition(status, "Ready")[0] == "True", "it answers all the same"
