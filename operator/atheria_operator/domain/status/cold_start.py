"""Seconds by phase of the last start of a first pod: from the times that the cluster itself wrote (whole seconds), and what
happened inside the pod as its server measured it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_operator.domain.names import revision_name
from atheria_operator.domain.observed import Observed, revision_hash_of
from atheria_operator.domain.pods import ready_pods, seconds_between, start_key, start_times
from atheria_operator.domain.status.report import START, Parts


def cold_start(
    model: str,
    revision_hash: str,
    observed: Observed,
    before: Mapping[str, Any] | None,
    reports: Mapping[str, Parts],
) -> Mapping[str, Any] | None:
    """The measurement of the oldest ready pod, or the one `before` when there is none or it was measured already.

    `reports` are by `pods.start_key`; that of the pod may come after its measurement, and is added then.
    """
    ready = ready_pods(observed, revision_hash)
    if not ready:
        return before
    pod = ready[0]
    inside = reports.get(start_key(pod), {}).get(START)
    server = {"server": dict(inside)} if inside else {}
    if before and before.get("pod") == pod["metadata"]["name"]:
        return {**before, **server}
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
        **server,
    }
