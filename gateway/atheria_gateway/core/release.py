"""When a held call may go on: only to pods that Envoy has confirmed to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from atheria_gateway.core.endpoints import Endpoint


class ReleaseAction(StrEnum):
    """What the activator does with one held call now."""

    WAIT = "wait"
    RELEASE = "release"
    PROBE_THEN_RELEASE = "probe"
    """A retried call: some endpoint is known, but it failed once; connect to one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseObservation:
    """What is known when a held call is looked at."""

    ready: tuple[Endpoint, ...]
    """Pods that Kubernetes calls ready."""
    acknowledged: frozenset[Endpoint]
    """Pods that Envoy has acknowledged."""
    attempt: int
    """1 for the first try of a call at a pod, more for a retry by Envoy."""


def release_action(observation: ReleaseObservation) -> ReleaseAction:
    """Release when a pod is both ready and acknowledged; a retried call needs a successful connection before."""
    if not observation.acknowledged.intersection(observation.ready):
        return ReleaseAction.WAIT
    return ReleaseAction.RELEASE if observation.attempt <= 1 else ReleaseAction.PROBE_THEN_RELEASE
