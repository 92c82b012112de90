"""What is seen of each revision of a model, from its Deployments and pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atheria_operator.domain.observed import Body, Observed, replicas_of, revision_hash_of
from atheria_operator.domain.pods import (
    Told,
    failure_of,
    has_ended,
    is_unschedulable,
    pods_of,
    ready_pods,
    seconds_between,
    start_key,
    stuck_of,
)
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.rollout.quality import QualityFigures, read_quality
from atheria_operator.domain.rollout.state import RevisionFacts
from atheria_operator.domain.rollout.upgrade import ALWAYS, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a rollout takes into account besides the spec and the objects."""

    now: str
    """RFC 3339 in UTC."""
    command_text: str = ""
    """Value of the annotation atheria.dev/rollout."""
    follows_default_image: bool = False
    """The annotation lets the pods follow the operator's default server image."""
    turn: Turn = ALWAYS
    """Whether they may do so now."""
    calls: Mapping[str, CallFigures] = field(default_factory=dict)
    """By revision, since the step began."""
    reports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What ready pods say about their model, by `pods.start_key`."""
    told: Mapping[str, Told] = field(default_factory=dict)
    """What others say about starting pods, by `pods.start_key`."""


def observe_revisions(observed: Observed, owner_uid: str, outside: Outside) -> dict[str, RevisionFacts]:
    """Facts by name, of every revision that has a Deployment of this model."""
    return {
        name: _facts(name, body, observed, outside) for name, body in observed.deployments(owner_uid).items()
    }


def _facts(name: str, deployment: Body, observed: Observed, outside: Outside) -> RevisionFacts:
    digest = revision_hash_of(deployment)
    failure = unplaced = None
    unplaced_seconds = 0.0
    for pod in pods_of(observed, digest):
        told = outside.told.get(start_key(pod))
        problem = failure_of(pod, told.words if told else None)
        if problem is None:
            continue
        if is_unschedulable(pod):
            created = str(pod["metadata"].get("creationTimestamp") or "")
            unplaced = unplaced or problem
            unplaced_seconds = max(unplaced_seconds, seconds_between(created, outside.now) or 0.0)
        elif failure is None or problem.is_permanent:
            failure = problem
    ready = ready_pods(observed, digest)
    present = [pod for pod in observed.pods if revision_hash_of(pod) == digest and not has_ended(pod)]
    stuck = [problem for pod in present if (problem := stuck_of(pod, outside.now))]
    return RevisionFacts(
        exists=True,
        asked_pods=replicas_of(deployment),
        ready_pods=len(ready),
        present_pods=len(present),
        stuck_pods=len(stuck),
        stuck=stuck[0] if stuck else None,
        failure=failure,
        unplaced=unplaced,
        unplaced_seconds=unplaced_seconds,
        calls=outside.calls.get(name, CallFigures()),
        quality=_quality(ready, outside.reports),
    )


def _quality(ready: Sequence[Body], reports: Mapping[str, Mapping[str, Any]]) -> QualityFigures | None:
    """Of the newest pod that has told."""
    for pod in reversed(ready):
        if (report := reports.get(start_key(pod))) is not None:
            return read_quality(report.get("quality") or {})
    return None
