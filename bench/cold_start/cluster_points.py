"""What happens to the objects of one namespace, with the time at which this process learnt of it.

Threads, one a kind of object; `Points` is for the main thread, which makes the calls.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config, watch

from atheria_contract import names
from bench.cold_start.marks import has_condition, is_published

_WATCH_SECONDS: Final = 3600
_PROC: Final = Path("/proc")
_STARTED: Final = 19
"""Of /proc/PID/stat behind the program's name: ticks since the boot at which the process was started."""
_CPU: Final = (11, 12, 13, 14)
"""Ticks of its own, and of children that have ended, in user and in kernel mode."""


class ClusterPoints:
    """Follows Deployments, pods and EndpointSlices until the process ends."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config.load_kube_config(str(kubeconfig))
        self._namespace = namespace
        self._changed = threading.Condition()
        self._seen: dict[tuple[str, str], float] = {}
        self._pods: dict[str, Mapping[str, Any]] = {}
        self._failure: BaseException | None = None
        core, apps, discovery = client.CoreV1Api(), client.AppsV1Api(), client.DiscoveryV1Api()
        for lister, take in (
            (core.list_namespaced_pod, self._pod),
            (apps.list_namespaced_deployment, self._deployment),
            (discovery.list_namespaced_endpoint_slice, self._slice),
        ):
            threading.Thread(target=self._follow, args=(lister, take), daemon=True).start()

    def forget(self) -> None:
        """Before a call: what was seen so far does not count."""
        with self._changed:
            self._seen.clear()

    def seen(self, model: str) -> dict[str, float]:
        """Points of a model since `forget`. Raises RuntimeError when a watch ended."""
        with self._changed:
            self._raise()
            return {point: at for (name, point), at in self._seen.items() if name == model}

    def pods(self, model: str) -> list[Mapping[str, Any]]:
        """The model's pods, those that go away included."""
        with self._changed:
            self._raise()
            return [pod for pod in self._pods.values() if _model(pod) == model]

    def wait(self, what: str, is_so: Callable[[], bool], timeout_seconds: float) -> None:
        """Until `is_so`, asked after each change. Raises TimeoutError naming `what`."""
        deadline = time.monotonic() + timeout_seconds
        while not is_so():
            with self._changed:
                self._raise()
                self._changed.wait(0.2)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not happen within {timeout_seconds:g} s")

    def _follow(self, lister: Callable[..., Any], take: Callable[[str, Mapping[str, Any]], None]) -> None:
        try:
            stream = watch.Watch().stream(lister, self._namespace, timeout_seconds=_WATCH_SECONDS)
            for event in stream:
                with self._changed:
                    take(event["type"], event["raw_object"])
                    self._changed.notify_all()
            raise RuntimeError(f"a watch ended after {_WATCH_SECONDS} s: make fewer calls")
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _raise(self) -> None:
        if self._failure is not None:
            raise RuntimeError(f"following the cluster failed: {self._failure}") from self._failure

    def _point(self, body: Mapping[str, Any], point: str) -> None:
        self._seen.setdefault((_model(body), point), time.time())

    def _pod(self, kind: str, body: Mapping[str, Any]) -> None:
        name = body["metadata"]["name"]
        if kind == "DELETED":
            self._pods.pop(name, None)
            return
        self._pods[name] = body
        if body["metadata"].get("deletionTimestamp"):
            return
        self._point(body, "created")
        if has_condition(body, "PodScheduled"):
            self._point(body, "scheduled")
        if has_condition(body, "Ready"):
            self._point(body, "probed")

    def _deployment(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "MODIFIED" and body["spec"].get("replicas"):
            self._point(body, "scaled")

    def _slice(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind != "DELETED" and is_published(body):
            self._point(body, "published")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What the kernel knows of a container's processes; the node is this machine."""

    began: float
    """Unix time at which the first one was started, within 10 ms."""
    cpu_seconds: float
    """Used by all of them so far."""


def processes_of(pod: Mapping[str, Any]) -> Processes:
    """Of the pod's server. Raises LookupError when there are none."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    wanted = next(
        str(one.get("containerID") or "").rpartition("/")[2]
        for one in statuses
        if one["name"] == names.CONTAINER_MODEL
    )
    found: list[list[int]] = []
    for folder in _PROC.glob("[0-9]*"):
        try:
            if wanted and wanted in (folder / "cgroup").read_text():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found.append([int(fields[index]) for index in (_STARTED, *_CPU)])
        except (OSError, IndexError):
            # It ended meanwhile.
            continue
    if not found:
        raise LookupError(f"container {wanted or '?'} has no process on this machine")
    hertz = os.sysconf("SC_CLK_TCK")
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return Processes(
        began=booted + min(ticks[0] for ticks in found) / hertz,
        cpu_seconds=sum(sum(ticks[1:]) for ticks in found) / hertz,
    )


def _model(body: Mapping[str, Any]) -> str:
    return str((body["metadata"].get("labels") or {}).get(names.LABEL_MODEL) or "")
