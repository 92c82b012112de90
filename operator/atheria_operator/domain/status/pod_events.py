"""The words of scheduler, kubelet and autoscalers of nodes about one pod, from its Events.

`runtime.start_watcher` reads the Events of pods that wait; `domain.pods` puts their words into reasons and messages. Each
autoscaler has words of its own: cluster-autoscaler and GKE TriggeredScaleUp, NotTriggerScaleUp, FailedScaleUp; Karpenter
Nominated. The scheduler's are in the pod's condition PodScheduled already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

NODE_IS_COMING: Final = frozenset({"TriggeredScaleUp", "Nominated"})
NODE_IS_NOT_COMING: Final = frozenset({"NotTriggerScaleUp", "FailedScaleUp"})
_ABOUT_NODES: Final = NODE_IS_COMING | NODE_IS_NOT_COMING
_KUBELET: Final[Mapping[str, str]] = {
    "FailedMount": "VolumeNotMounted",
    "FailedAttachVolume": "VolumeNotMounted",
    "FailedCreatePodSandBox": "SandboxFailed",
}
"""Reason of an Event to the reason in the status."""
_PULLING: Final = frozenset({"Pulling", "Pulled"})
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PodWords:
    """The newest words about a pod of each kind; empty = none."""

    node_reason: str = ""
    """Of an autoscaler of nodes, in its own spelling."""
    node_message: str = ""
    kubelet_reason: str = ""
    """A fault of the kubelet, as in `faults.FAULTS`."""
    kubelet_message: str = ""
    pull_message: str = ""
    """About the image: `Pulling image …`, `Successfully pulled image … in 12 s …`."""


def read_pod_events(events: Iterable[Mapping[str, Any]]) -> PodWords:
    """The newest of each kind, from core/v1 Events of one pod in any order."""
    node: tuple[str, str] = ("", "")
    kubelet: tuple[str, str] = ("", "")
    pull = ""
    for event in sorted(events, key=_time):
        reason, message = str(event.get("reason") or ""), str(event.get("message") or "")[:_LONGEST]
        if reason in _ABOUT_NODES:
            node = (reason, message)
        elif reason in _KUBELET:
            kubelet = (_KUBELET[reason], message)
        elif reason in _PULLING:
            # Volumes are mounted before an image is pulled: what was said about them is over.
            kubelet, pull = ("", ""), message
    return PodWords(
        node_reason=node[0],
        node_message=node[1],
        kubelet_reason=kubelet[0],
        kubelet_message=kubelet[1],
        pull_message=pull,
    )


def _time(event: Mapping[str, Any]) -> str:
    """RFC 3339, by which the API's times sort; an Event of the newer kind has only eventTime or a series."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
    )
    return next((str(time) for time in times if time), "")
