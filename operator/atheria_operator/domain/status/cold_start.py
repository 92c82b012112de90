"""Seconds by phase of the last start of a first pod, from the times that the cluster itself wrote (whole seconds)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_operator.domain.names import revision_name
from atheria_operator.domain.observed import Observed, revision_hash_of
from atheria_operator.domain.pods import ready_pods, seconds_between, start_times


def cold_start(
    model: str, revision_hash: str, observed: Observed, before: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The measurement of the oldest ready pod, or the one `before` when there is none or it was measured already."""
    ready = ready_pods(observed, revision_hash)
    if not ready or (before or {}).get("pod") == ready[0]["metadata"]["name"]:
        return before
    pod = ready[0]
    times = start_times(pod)
    phases = {
        "scheduledSeconds": seconds_between(times.created, times.scheduled),
        "startedSeconds": seconds_between(times.scheduled, times.running),
        "readySeconds": seconds_between(times.running, times.ready),
        "totalSeconds": seconds_between(times.created, times.ready),
    }
    if phases["totalSeconds"] is None:
        return before
    return {
        "pod": pod["metadata"]["name"],
        "revision": revision_name(model, revision_hash_of(pod)),
        "startedAt": times.created,
        **{name: seconds for name, seconds in phases.items() if seconds is not None},
    }
