"""The status of a model from what is observed: conditions, revisions, replicas, the last cold start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.names import model_url, selector_text
from atheria_operator.domain.observed import Body, Observed, is_leaving, replicas_of, revision_hash_of
from atheria_operator.domain.pods import (
    POD_STUCK,
    Told,
    failure_of,
    phase_of,
    pods_of,
    progress_of,
    ready_pods,
    seconds_between,
    start_key,
)
from atheria_operator.domain.rollout.state import Phase as RolloutPhase
from atheria_operator.domain.scaling.learnt import Measured, service_time_status
from atheria_operator.domain.status.cold_start import cold_start
from atheria_operator.domain.status.conditions import (
    ACCEPTED,
    ACTIVE,
    READY,
    WARM,
    Condition,
    merge_conditions,
)
from atheria_operator.domain.status.faults import FAULTS, is_retriable
from atheria_operator.domain.status.kv_cache import kv_cache_accepted
from atheria_operator.domain.status.optimization import (
    of_custom,
    of_problem,
    quality_accepted,
    refusal_of,
    reported_parts,
)
from atheria_operator.domain.status.phases import Phase
from atheria_operator.domain.status.report import Parts
from atheria_operator.domain.status.rest import Rest, rest_words, sleeping_in, standby_status
from atheria_operator.domain.status.rollout import RolloutParts, of_held_back, parts_before
from atheria_operator.domain.status.start import (
    current_start,
    expectation_words,
    finished_start,
    history,
)

SCALED_TO_ZERO = Phase.SCALED_TO_ZERO.value
COUNTED_SECONDS = 10.0
"""The calls of a canary's step are worth one after so many: what was counted since is lost with the operator."""
REFRESH_SECONDS = 60.0
"""Sums of seconds and calls alone are worth a write after so many more seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInput:
    """What the status is computed from."""

    key: ModelKey
    uid: str
    generation: int
    observed: Observed
    desired_revision: str
    """Name of the revision that the spec asks for; empty while the spec is not accepted."""
    active_revision: str
    """Name of the revision that takes the calls; empty before the first."""
    problem: Problem | None = None
    """Why the spec is not accepted."""
    before: Mapping[str, Any] = field(default_factory=dict)
    """The status as it is stored."""
    calls: int | None = None
    """Held and in flight, where known."""
    decisions: Sequence[Mapping[str, Any]] = ()
    """The autoscaler's last changes, newest first."""
    reports: Mapping[str, Parts] = field(default_factory=dict)
    """What pods told about their model, by `pods.start_key`."""
    told: Mapping[str, Told] = field(default_factory=dict)
    """What is known of starting pods, by `pods.start_key`."""
    rests: Mapping[str, Rest] = field(default_factory=dict)
    """What is known of sleeping pods, by `pods.start_key`."""
    sleeps: bool = False
    """At zero the model's pods sleep instead of going."""
    cost: Mapping[str, Any] | None = None
    """status.cost; None before anything was counted."""
    rollout: RolloutParts | None = None
    """What the plan decided; None while there is no plan: what is stored stays."""
    last_call: str = ""
    """RFC 3339; empty = none was seen."""
    service: Measured | None = None
    """Seconds of a call; None = not measured yet by this operator: what is stored stays."""
    hardware: Mapping[str, Any] = field(default_factory=dict)
    """status.hardware; empty before a profile was chosen."""
    note: str = ""
    """What was planned, for the message of Accepted."""
    scaled_by: str = ""
    """spec.scaling.class once its objects are in place; empty = as atheria."""
    scaler: tuple[Condition, ...] = ()
    """ScalerReady, where somebody else decides."""
    is_baseline: bool = False
    """The spec asks for nothing that would have to be compared with the model as it is."""
    is_custom: bool = False
    """A container of the user's serves the model."""


def build_status(given: StatusInput, now: str) -> dict[str, Any]:
    """The whole status as it is to be stored; `now` is RFC 3339 in UTC."""
    deployments = given.observed.deployments(given.uid)
    desired = given.desired_revision
    desired_hash = _hash_of(given, desired)
    failure = refusal_of(given.observed, desired, desired_hash, given.before) if desired else None
    parts = reported_parts(given.observed, desired_hash, given.reports, given.before)
    start = _start(given, desired_hash, now)
    ready = _ready(given, failure, start)
    quality = (
        of_problem(given.problem)
        if given.problem
        else of_custom()
        if given.is_custom and failure is None
        else quality_accepted(
            desired,
            pods_of(given.observed, desired_hash),
            failure,
            parts.get("quality") or {},
            is_baseline=given.is_baseline,
        )
    )
    rollout = given.rollout or parts_before(given.before, given.active_revision)
    facts = (
        _accepted(given),
        ready,
        _warm(given, parts),
        _active(given),
        quality,
        *kv_cache_accepted(desired, parts.get("kvCache") or {}),
        *rollout.conditions,
        *given.scaler,
    )
    pods = [pod for pod in given.observed.pods if not is_leaving(pod)]
    active_hash = _hash_of(given, given.active_revision)
    status: dict[str, Any] = {
        "observedGeneration": given.generation,
        "conditions": merge_conditions(given.before.get("conditions") or (), facts, given.generation, now),
        "phase": _phase(given, ready, failure).value,
        "url": model_url(given.key),
        "selector": selector_text(given.key),
        "replicas": len(pods),
        "readyReplicas": len(ready_pods(given.observed, active_hash)),
        "revisions": [
            {
                "name": name,
                "weight": rollout.weights.get(name, 0),
                "mayRun": name in rollout.may_run,
                "replicas": replicas_of(body),
                "readyReplicas": len(ready_pods(given.observed, revision_hash_of(body))),
            }
            for name, body in sorted(deployments.items())
        ],
        "lastDecisions": [dict(decision) for decision in given.decisions],
        **parts,
    }
    if failure:
        status["failure"] = failure
    if given.hardware:
        status["hardware"] = dict(given.hardware)
    if rollout.stored:
        status["rollout"] = dict(rollout.stored)
    if given.active_revision:
        status["activeRevision"] = given.active_revision
    if given.calls is not None:
        status["queue"] = given.calls
    measured = cold_start(
        given.key.name, active_hash, given.observed, given.before.get("coldStart"), given.reports
    )
    known = {(given.before.get(part) or {}).get("pod") for part in ("start", "coldStart")}
    if given.sleeps and measured and measured["pod"] not in known:
        # Nobody saw it start: it is ready again after a sleep.
        measured = given.before.get("coldStart")
    if measured:
        status["coldStart"] = dict(measured)
    status["starts"] = _starts(given, active_hash, measured)
    if start:
        status["start"] = start
    if ready.status == "False":
        fault = FAULTS.get(ready.reason)
        status["fault"] = {
            "reason": ready.reason,
            "retriable": is_retriable(ready.reason),
            **({"nextStep": fault.next_step} if fault else {}),
        }
    if given.cost is not None:
        status["cost"] = dict(given.cost)
    if standby := standby_status(_asleep(given, active_hash), given.rests, given.before):
        status["standby"] = standby
    if given.scaled_by:
        status["scaledBy"] = given.scaled_by
    if given.last_call:
        status["lastCallTime"] = given.last_call
    if learnt := service_time_status(given.before.get("serviceTime"), given.service):
        status["serviceTime"] = dict(learnt)
    return status


def needs_write(before: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether the stored status differs in more than what changes all the time: the queue, and sums that grew a little."""
    if _filled(_steady(before)) != _filled(_steady(status)):
        return True
    counted, counts = before.get("rollout") or {}, status.get("rollout") or {}
    if (counted.get("counted") or []) != (counts.get("counted") or []):
        then, now = str(counted.get("countedAt") or ""), str(counts.get("countedAt") or "")
        age_seconds = seconds_between(then, now)
        # Of the future it is where the clock was put back.
        if age_seconds is None or age_seconds >= COUNTED_SECONDS or then > now:
            return True
    old, new = before.get("cost") or {}, status.get("cost") or {}
    summed = ("busySeconds", "idleSeconds", "loadingSeconds", "calls")
    has_grown = any(old.get(name, 0) != new.get(name, 0) for name in summed)
    return has_grown and abs(new.get("seconds", 0) - old.get("seconds", 0)) >= REFRESH_SECONDS


def _steady(status: Mapping[str, Any]) -> dict[str, Any]:
    """Without what changes all the time."""
    found = {key: part for key, part in status.items() if key not in ("queue", "cost", "lastCallTime")}
    rollout = found.get("rollout") or {}
    found["rollout"] = {key: part for key, part in rollout.items() if key not in ("counted", "countedAt")}
    return found


def _filled(value: Any) -> Any:
    """Without what is empty, at any depth: the API server stores defaults such as [] and {}."""
    if isinstance(value, Mapping):
        found = {key: _filled(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item not in ([], {}, None, "")}
    if isinstance(value, (list, tuple)):
        return [_filled(item) for item in value]
    return value


def _accepted(given: StatusInput) -> Condition:
    if given.problem:
        return Condition(
            type=ACCEPTED, status="False", reason=given.problem.reason, message=given.problem.message
        )
    note = f"; {given.note}" if given.note else ""
    return Condition(type=ACCEPTED, status="True", reason="Accepted", message=f"the spec can be served{note}")


def _asleep(given: StatusInput, revision_hash: str) -> tuple[Body, ...]:
    """Pods of a revision that sleep."""
    pods = pods_of(given.observed, revision_hash) if revision_hash else ()
    return sleeping_in(pods, given.rests, given.told, given.before)


def _start(given: StatusInput, desired_hash: str, now: str) -> dict[str, Any] | None:
    """status.start: of the oldest pod of the revision that the spec asks for, while none is ready."""
    asleep = _asleep(given, desired_hash)
    pods = tuple(pod for pod in pods_of(given.observed, desired_hash) if pod not in asleep)
    if not pods or asleep or ready_pods(given.observed, desired_hash):
        return None
    return current_start(given.key.name, pods[0], given.told.get(start_key(pods[0])), given.before, now)


def _starts(given: StatusInput, active_hash: str, measured: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """status.starts, with the start that was measured just now."""
    ready = ready_pods(given.observed, active_hash)
    entry = None
    if measured and measured != given.before.get("coldStart") and ready:
        entry = finished_start(given.key.name, ready[0], given.before, measured)
    return history(given.before.get("starts") or (), entry)


def _phase(given: StatusInput, ready: Condition, failure: Mapping[str, str] | None) -> Phase:
    """One word for people, of the revision that the spec asks for."""
    if given.problem or failure is not None:
        return Phase.FAILED
    if ready.reason == names.REASON_ASLEEP:
        return Phase.ASLEEP
    if ready.status == "True" and ready.reason != SCALED_TO_ZERO:
        return Phase.SERVING
    if ready.reason == SCALED_TO_ZERO:
        is_draining = any(is_leaving(pod) for pod in given.observed.pods)
        return Phase.DRAINING if is_draining else Phase.SCALED_TO_ZERO
    pods = pods_of(given.observed, _hash_of(given, given.desired_revision))
    if not pods and ready.reason in (RolloutPhase.DRAINING, POD_STUCK):
        return Phase.DRAINING
    if not pods and ready.reason == RolloutPhase.ROLLED_BACK:
        return Phase.FAILED
    if not pods:
        return Phase.CREATING
    return phase_of(pods[0], given.told.get(start_key(pods[0])))


def _ready(
    given: StatusInput, failure: Mapping[str, str] | None, start: Mapping[str, Any] | None
) -> Condition:
    """Of the revision that the spec asks for: a change that does not come up is not Ready, whoever still answers."""
    if given.problem:
        return Condition(
            type=READY,
            status="False",
            reason=given.problem.reason,
            message=given.problem.message + _still_served(given),
        )
    revision = given.desired_revision
    deployment = given.observed.deployments(given.uid).get(revision)
    asked = replicas_of(deployment)
    ready = ready_pods(given.observed, _hash_of(given, revision))
    if ready:
        return Condition(
            type=READY, status="True", reason="Ready", message=f"{len(ready)} of {asked} pods answer calls"
        )
    if failure is not None:
        return Condition(
            type=READY,
            status="False",
            reason=failure["reason"],
            message=failure["message"] + _still_served(given),
        )
    if asleep := _asleep(given, _hash_of(given, revision)):
        return Condition(
            type=READY,
            status="True",
            reason=names.REASON_ASLEEP,
            message=f"{rest_words(asleep, given.rests, given.before)}; the next call is held, wakes one and is then answered",
        )
    held_back = of_held_back(given.rollout, revision) if asked == 0 else None
    if held_back is not None:
        return held_back
    if deployment is not None and asked == 0:
        return Condition(
            type=READY,
            status="True",
            reason=SCALED_TO_ZERO,
            message="no pods and no cost; the next call is held, wakes the model and is then answered",
        )
    failed, detail = _detail(given, revision)
    return Condition(
        type=READY,
        status="False" if failed else "Unknown",
        reason=detail.reason,
        message=detail.message
        + ("" if failed else expectation_words(start, given.before.get("starts") or ()))
        + _still_served(given),
    )


def _warm(given: StatusInput, parts: Parts) -> Condition:
    revision = given.active_revision or given.desired_revision
    if ready_pods(given.observed, _hash_of(given, revision)):
        measured = parts.get("steadiness") or {}
        if measured.get("revision") == revision and not measured["passed"]:
            return Condition(
                type=WARM,
                status="False",
                reason="NotSteady",
                message=f"the first call of {measured.get('bucket')} took {measured.get('ratio', 0):.2f} times what the "
                "warm-up measured, allowed are 1.1: something is still made at the first call, or the processor is shared; "
                "see status.warmup",
            )
        return Condition(type=WARM, status="True", reason="WarmedUp", message="a pod is loaded and warmed up")
    if _asleep(given, _hash_of(given, revision)):
        return Condition(
            type=WARM,
            status="True",
            reason=names.REASON_ASLEEP,
            message="a pod is loaded and warmed up, and sleeps",
        )
    deployment = given.observed.deployments(given.uid).get(revision)
    if deployment is not None and replicas_of(deployment) == 0:
        return Condition(
            type=WARM, status="False", reason=SCALED_TO_ZERO, message="the model is at zero; a call wakes it"
        )
    _, detail = _detail(given, revision)
    return Condition(type=WARM, status="False", reason=detail.reason, message=detail.message)


def _active(given: StatusInput) -> Condition:
    asked = max((replicas_of(body) for body in given.observed.deployments(given.uid).values()), default=0)
    active = _hash_of(given, given.active_revision)
    if (asleep := _asleep(given, active)) and not ready_pods(given.observed, active):
        words = f"{len(asleep)} pods sleep and keep their devices, none is awake"
        return Condition(type=ACTIVE, status="False", reason=names.REASON_ASLEEP, message=words)
    if asked:
        return Condition(type=ACTIVE, status="True", reason="Scaled", message=f"{asked} pods are asked for")
    if given.observed.deployments(given.uid):
        return Condition(type=ACTIVE, status="False", reason=SCALED_TO_ZERO, message="no pods are asked for")
    return Condition(type=ACTIVE, status="False", reason="NoRevision", message="there is no Deployment yet")


def _detail(given: StatusInput, revision: str) -> tuple[bool, Problem]:
    """(is it a failure, what) of a revision that has no ready pod."""
    if given.problem and not revision:
        return True, given.problem
    pods = pods_of(given.observed, _hash_of(given, revision))
    for pod in pods:
        told = given.told.get(start_key(pod))
        if problem := failure_of(pod, told.words if told else None):
            return True, problem
    if pods:
        return False, progress_of(pods[0], given.told.get(start_key(pods[0])))
    deployment = given.observed.deployments(given.uid).get(revision)
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return True, Problem(reason="PodRefused", message=str(condition.get("message") or ""))
    if deployment is None:
        return False, Problem(reason="Creating", message="the objects of the model are being made")
    return False, Problem(reason="Creating", message="the first pod is being made")


def _still_served(given: StatusInput) -> str:
    active = given.active_revision
    if not active or active == given.desired_revision or active not in given.observed.deployments(given.uid):
        return ""
    return f"; calls still go to revision {active}"


def _hash_of(given: StatusInput, revision: str) -> str:
    """The hash in a revision's name; one that no pod has where there is no revision."""
    prefix = f"{given.key.name}-"
    return revision.removeprefix(prefix) if revision.startswith(prefix) else names.ROLE_GATEWAY
