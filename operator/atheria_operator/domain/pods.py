"""What a pod's status says about its start: how far it is, what stops it, and how long each phase took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.observed import Body, Observed, is_leaving, revision_hash_of
from atheria_operator.domain.status.faults import PERMANENT, SERVER_REFUSALS
from atheria_operator.domain.status.phases import Phase, Step
from atheria_operator.domain.status.pod_events import NODE_IS_COMING, NODE_IS_NOT_COMING, PodWords

_PULL_FAILURES: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"}
)
_INVALID_IMAGE: Final = "InvalidImageName"
_START_FAILURES: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)
POD_STUCK: Final = "PodStuck"
STUCK_ALLOWANCE_SECONDS: Final = 30.0
"""A pod may be there for so long after its grace: the kubelet kills, a driver lets go of memory, the record is removed."""
_ERROR_PREFIX: Final = "atheria-server: error: "
PERMANENT_REFUSALS: Final = SERVER_REFUSALS & PERMANENT
"""First word of a server's last line when the model itself is at fault: a second start ends as the first."""
PASSING_REFUSALS: Final = SERVER_REFUSALS - PERMANENT
"""The same when something outside was at fault: the kubelet starts it again, each time after a longer wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What others say about a starting pod, besides its status."""

    step: Step | None = None
    """Of the server in it; None = it has not answered."""
    words: PodWords = field(default_factory=PodWords)
    """Of autoscalers of nodes and the kubelet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimes:
    """When a pod passed each point of its start, RFC 3339 as the cluster wrote it (whole seconds); empty = not yet."""

    created: str
    scheduled: str = ""
    running: str = ""
    ready: str = ""


def ready_pods(observed: Observed, revision_hash: str) -> tuple[Body, ...]:
    """Pods of a revision that answer calls, oldest first."""
    return tuple(pod for pod in pods_of(observed, revision_hash) if is_ready(pod))


def pods_of(observed: Observed, revision_hash: str) -> tuple[Body, ...]:
    """Pods of a revision that are not going away, oldest first."""
    return tuple(
        sorted(
            (pod for pod in observed.pods if revision_hash_of(pod) == revision_hash and not is_leaving(pod)),
            key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]),
        )
    )


def is_ready(pod: Body) -> bool:
    """Loaded, warmed up and not going away."""
    return not is_leaving(pod) and _condition(pod, "Ready").get("status") == "True"


def failure_of(pod: Body, words: PodWords | None = None) -> Problem | None:
    """What stops the pod from becoming ready, in the words of whoever refused; None while it makes progress.

    `words` are those of its Events: a node that is coming makes an unschedulable pod one that waits.
    """
    words = words or PodWords()
    name = pod["metadata"]["name"]
    if is_unschedulable(pod):
        if words.node_reason in NODE_IS_COMING:
            return None
        reason = words.node_reason if words.node_reason in NODE_IS_NOT_COMING else "Unschedulable"
        return Problem(reason=reason, message=f"pod {name} cannot be placed: {_placement_words(pod, words)}")
    if words.kubelet_reason and not start_times(pod).running:
        return Problem(reason=words.kubelet_reason, message=f"pod {name}: {words.kubelet_message}")
    for status in _statuses(pod):
        if problem := _container_failure(name, status):
            return problem
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Failed":
        reason = (pod.get("status") or {}).get("reason") or "Failed"
        return Problem(
            reason="PodFailed",
            message=f"pod {name} ended ({reason}): {(pod.get('status') or {}).get('message') or 'no message'}",
        )
    return None


def stuck_of(pod: Body, now: str) -> Problem | None:
    """Why a pod that was told to go is still there long after its grace; None for others. `now` is RFC 3339 in UTC.

    The API server writes as deletionTimestamp when the grace ends. The words do not depend on `now`.
    """
    if not is_leaving(pod) or has_ended(pod):
        return None
    until = str(pod["metadata"]["deletionTimestamp"])
    if (seconds_between(until, now) or 0.0) < STUCK_ALLOWANCE_SECONDS:
        return None
    name = pod["metadata"]["name"]
    grace_seconds = int(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
    asked = datetime.fromisoformat(until) - timedelta(seconds=grace_seconds)
    node = str((pod.get("spec") or {}).get("nodeName") or "")
    place = f" on node {node}" if node else ""
    see = f"kubectl get node {node}" if node else f"kubectl describe pod {name}"
    return Problem(
        reason=POD_STUCK,
        message=f"pod {name}{place} was told to end at {asked:%Y-%m-%dT%H:%M:%SZ} and had until {until}, it is still there and "
        f"keeps its devices: see why ({see}), and once you know that they are free, kubectl delete pod {name} --force",
    )


def has_ended(pod: Body) -> bool:
    """Its containers are gone, and with them its devices; only its record is left."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def phase_of(pod: Body, told: Told | None = None) -> Phase:
    """The phase of a pod's start; what it tells counts only once it runs."""
    times = start_times(pod)
    if is_ready(pod):
        return Phase.SERVING
    if times.running:
        step = told.step if told else None
        return step.phase if step else Phase.LOADING
    if times.scheduled:
        return Phase.PULLING
    return Phase.WAITING_FOR_GPU if _wants_device(pod) else Phase.WAITING_FOR_NODE


def progress_of(pod: Body, told: Told | None = None) -> Problem:
    """How far the start of a pod is, as reason and sentence."""
    told = told or Told()
    name = pod["metadata"]["name"]
    phase = phase_of(pod, told)
    if start_times(pod).running:
        words = told.step.words if told.step else "the model is loaded and warmed up"
        return Problem(reason=phase.value, message=f"pod {name} runs: {words}")
    if phase is Phase.PULLING:
        words = told.words.pull_message or "its volumes are mounted, its image is pulled, its container made"
        hint = (
            "" if _is_sandboxed(pod) else f"; if this stays, a volume is missing: kubectl describe pod {name}"
        )
        return Problem(reason=phase.value, message=f"pod {name} has a node: {words}{hint}")
    if told.words.node_reason in NODE_IS_COMING:
        return Problem(
            reason=told.words.node_reason,
            message=f"pod {name} waits for a new node: {_placement_words(pod, told.words)}",
        )
    kind = "a node with a free device" if phase is Phase.WAITING_FOR_GPU else "a node"
    return Problem(reason=phase.value, message=f"pod {name} waits for {kind}")


def is_unschedulable(pod: Body) -> bool:
    """Whether the scheduler has found no node."""
    scheduled = _condition(pod, "PodScheduled")
    return scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable"


def start_times(pod: Body) -> StartTimes:
    """The points of a pod's start that it has passed."""
    running = ""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") == names.CONTAINER_MODEL:
            running = ((status.get("state") or {}).get("running") or {}).get("startedAt") or ""
    return StartTimes(
        created=pod["metadata"].get("creationTimestamp") or "",
        scheduled=_since(pod, "PodScheduled"),
        running=running,
        ready=_since(pod, "Ready"),
    )


def start_key(pod: Body) -> str:
    """Names one start of a pod's container: a restarted one has another."""
    return f"{pod['metadata'].get('uid') or pod['metadata']['name']}/{start_times(pod).running}"


def report_url(pod: Body, path: str = names.PATH_OPTIMIZATION) -> str:
    """Where the pod says what it did to its model, or `path`, with or without TLS as its readiness probe; empty = no
    address yet, or a container that is not ours and has no such paths."""
    return "" if is_custom(pod) else _url(pod, path)


def is_custom(pod: Body) -> bool:
    """Whether its container is one of the user's, which speaks its own protocol (spec.model.runtime)."""
    return (pod["metadata"].get("labels") or {}).get(names.LABEL_RUNTIME) == names.RUNTIME_CUSTOM


def in_flight_question(pod: Body) -> tuple[str, tuple[str, ...]]:
    """(where a custom container shows its metrics, the series whose sum is its calls in flight); ("", ()) where it cannot be asked."""
    told = str((pod["metadata"].get("annotations") or {}).get(names.ANNOTATION_IN_FLIGHT_METRICS) or "")
    if not (is_custom(pod) and told):
        return "", ()
    return _url(pod, names.PATH_METRICS), tuple(told.split(","))


def _url(pod: Body, path: str) -> str:
    address = str((pod.get("status") or {}).get("podIP") or "")
    if not address:
        return ""
    host = f"[{address}]" if ":" in address else address
    scheme = "http"
    for container in (pod.get("spec") or {}).get("containers") or ():
        if container.get("name") == names.CONTAINER_MODEL:
            probe = (container.get("readinessProbe") or {}).get("httpGet") or {}
            scheme = str(probe.get("scheme") or "HTTP").lower()
    return f"{scheme}://{host}:{names.PORT_HTTP}{path}"


def tls_host(pod: Body, key: ModelKey) -> str:
    """The name for which a pod of the model must show a certificate; empty for one that has none of the operator's."""
    labels = pod["metadata"].get("labels") or {}
    is_encrypted = labels.get(names.LABEL_TLS) == names.TLS_MUTUAL
    return names.pod_host(key.namespace, key.name) if is_encrypted else ""


def seconds_between(earlier: str, later: str) -> float | None:
    """Seconds from one RFC 3339 time to another, never negative; None where either is empty."""
    if not earlier or not later:
        return None
    return max(0.0, (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds())


def _container_failure(pod: str, status: Mapping[str, Any]) -> Problem | None:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason == _INVALID_IMAGE:
        return Problem(
            reason=_INVALID_IMAGE,
            message=f"pod {pod}: image {status.get('image')!r}: {message or reason}",
            is_permanent=True,
        )
    if reason in _PULL_FAILURES:
        return Problem(
            reason="ImagePullFailed", message=f"pod {pod}: image {status.get('image')!r}: {message or reason}"
        )
    if reason in _START_FAILURES:
        return Problem(reason="ContainerNotStarted", message=f"pod {pod}: {reason}: {message}")
    if status.get("ready"):
        return None
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    # A server that is ended by us leaves with 0 or by the signal; only its own failures count.
    if not ended or ended.get("exitCode") in (0, None):
        return None
    restarts = f"restarted {status['restartCount']} times, " if status.get("restartCount") else ""
    if ended.get("reason") == "OOMKilled":
        return Problem(
            reason="OutOfMemory",
            message=f"pod {pod}, {restarts}last ended: out of memory; raise resources.limits.memory of its hardware "
            "profile or in spec.podTemplate",
        )
    return _refusal(
        f"pod {pod}, {restarts}last ended", ended["exitCode"], last_words(ended.get("message") or "")
    )


def _refusal(what: str, exit_code: int, words: str) -> Problem:
    """What the server said; its first word is the reason where it is one that we know."""
    reason, colon, sentence = words.partition(": ")
    if colon and reason in PERMANENT_REFUSALS:
        return Problem(
            reason=reason,
            message=f"{what}: {sentence}; starting again does not mend this: change the spec or what it names",
            is_permanent=True,
        )
    if colon and reason in PASSING_REFUSALS:
        return Problem(reason=reason, message=f"{what}: {sentence}; it is started again, less and less often")
    return Problem(reason="ModelFailed", message=f"{what} with exit code {exit_code}: {words}")


def last_words(text: str) -> str:
    """The server's own line about why it ended, or the last line of its log."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(_ERROR_PREFIX):
            return line.removeprefix(_ERROR_PREFIX)
    return lines[-1] if lines else "no message; see kubectl logs --previous"


def _statuses(pod: Body) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _condition(pod: Body, kind: str) -> Mapping[str, Any]:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return dict(condition)
    return {}


def _placement_words(pod: Body, words: PodWords) -> str:
    scheduler = str(_condition(pod, "PodScheduled").get("message") or "")
    autoscaler = f"{words.node_reason}: {words.node_message}" if words.node_reason else ""
    return "; ".join(part for part in (scheduler, autoscaler) if part)


def _wants_device(pod: Body) -> bool:
    """Whether the model's container asks for an extended resource, such as nvidia.com/gpu."""
    for container in (pod.get("spec") or {}).get("containers") or ():
        limits = (container.get("resources") or {}).get("limits") or {}
        if any("/" in name for name in limits):
            return True
    return False


def _is_sandboxed(pod: Body) -> bool:
    """Whether all volumes are mounted and the network is made, as far as the kubelet says."""
    return _condition(pod, "PodReadyToStartContainers").get("status") != "False"


def _since(pod: Body, kind: str) -> str:
    condition = _condition(pod, kind)
    return str(condition.get("lastTransitionTime") or "") if condition.get("status") == "True" else ""
