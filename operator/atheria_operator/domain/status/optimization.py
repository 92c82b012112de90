"""The parts of the status about precision, quality and compilation, and the condition QualityAccepted.

They are of the revision that the spec asks for. At zero they stay as they were last told; a revision that was refused for
good stays refused, or a model at zero would look ready and fail at every call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from atheria_contract.serving import ServingConfig
from atheria_operator.api.model import Problem
from atheria_operator.domain.observed import Body, Observed
from atheria_operator.domain.pods import failure_of, pods_of, ready_pods, start_key
from atheria_operator.domain.status.conditions import QUALITY_ACCEPTED, Condition, Truth
from atheria_operator.domain.status.report import Parts

REPORTED: Final = ("quality", "precision", "compileCache", "kvCache", "warmup", "steadiness", "evaluation")
"""Fields of the status that come from a pod's report."""
BASELINE: Final = "Baseline"
PASSED: Final = "Passed"
ALLOWED: Final = "AllowedUnvalidated"
CUSTOM: Final = "CustomRuntime"
TOLD: Final = (PASSED, ALLOWED)
"""Verdicts of a pod that serves a variant."""
NOT_JUDGED: Final = "NotJudged"
QUALITY_REJECTED: Final = "QualityRejected"


def is_baseline(serving: ServingConfig) -> bool:
    """Whether nothing is asked for that would have to be compared with the model as it is."""
    precision = serving.precision
    return (precision.policy, precision.compute, serving.compile.mode) == ("fp32", "fp32", "off")


def reported_parts(
    observed: Observed, revision_hash: str, reports: Mapping[str, Parts], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the newest ready pod of the revision that has reported, or those `before` when there is none."""
    for pod in reversed(ready_pods(observed, revision_hash)):
        if (report := reports.get(start_key(pod))) is not None:
            return {name: report[name] for name in REPORTED if name in report}
    return {name: before[name] for name in REPORTED if before.get(name)}


def refusal_of(
    observed: Observed, revision: str, revision_hash: str, before: Mapping[str, Any]
) -> dict[str, str] | None:
    """status.failure: what a pod of the revision says now, or what one said before; None once one was ready."""
    if ready_pods(observed, revision_hash):
        return None
    for pod in pods_of(observed, revision_hash):
        problem = failure_of(pod)
        if problem is not None and problem.is_permanent:
            return {"revision": revision, "reason": problem.reason, "message": problem.message}
    known = before.get("failure") or {}
    return dict(known) if known.get("revision") == revision else None


def refused_revision(before: Mapping[str, Any]) -> str:
    """Name of the revision that was refused for good; empty for none."""
    return str((before.get("failure") or {}).get("revision") or "")


def quality_accepted(
    revision: str,
    pods: Sequence[Body],
    failure: Mapping[str, str] | None,
    quality: Mapping[str, Any],
    *,
    is_baseline: bool,
) -> Condition:
    """`pods` are the revision's; `quality` is status.quality; `is_baseline`: nothing makes the model cheaper."""
    if failure is not None:
        truth: Truth = "False" if failure["reason"] == QUALITY_REJECTED else "Unknown"
        return _condition(truth, failure["reason"], failure["message"])
    if quality.get("revision") == revision and revision:
        return _judged(quality)
    if is_baseline:
        return _condition("True", BASELINE, "the model is served as it is, in fp32 and not compiled")
    for pod in pods:
        if problem := failure_of(pod):
            return _condition("Unknown", problem.reason, problem.message)
    return _condition("Unknown", NOT_JUDGED, "no pod of this revision has told its verdict yet")


def of_problem(problem: Problem) -> Condition:
    """While the spec is not accepted there is nothing to judge."""
    return _condition("Unknown", problem.reason, problem.message)


def of_custom() -> Condition:
    """Of a container of the user's: it says nothing of what it does to the model."""
    return _condition(
        "True",
        CUSTOM,
        "a container of your own (spec.model.runtime) serves the model in its own way; nothing was compared",
    )


def _judged(quality: Mapping[str, Any]) -> Condition:
    passed = quality.get("passed")
    truth: Truth = "Unknown" if passed is None else "True" if passed else "False"
    reason = quality.get("reason") or {"True": PASSED, "False": "Failed"}.get(truth, NOT_JUDGED)
    if message := quality.get("message"):
        return _condition(truth, str(reason), str(message))
    words = _words(str(reason), str(quality.get("profile") or "default"))
    metrics = ", ".join(
        f"{metric['name']} {metric['value']:.4g} (limit {metric['limit']:.4g})"
        for metric in quality.get("metrics") or ()
        if metric.get("limit") is not None
    )
    return _condition(truth, str(reason), f"{words}: {metrics}" if metrics else words)


def _words(reason: str, profile: str) -> str:
    known = {
        BASELINE: "the model is served as it is, in fp32 and not compiled",
        PASSED: f"compared with its fp32 baseline, the variant is within the limits of the profile {profile}",
        ALLOWED: "served without proof, because spec.quality.allowUnvalidated is true",
    }
    return known.get(reason, "the variant was not judged")


def _condition(truth: Truth, reason: str, message: str) -> Condition:
    return Condition(type=QUALITY_ACCEPTED, status=truth, reason=reason, message=message)
