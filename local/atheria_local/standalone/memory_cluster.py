"""Objects in memory behind the ports through which gateway and operator reach Kubernetes. Made by `stack`.

Every write gives the object a new resourceVersion, and a number of pods is written only at the version that was read, as the
API server does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from atheria_contract import names
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, ScaleTarget, Watched, WatchEvent
from atheria_local.standalone.objects import Body
from atheria_operator.runtime.ports import CONFLICT, NOT_FOUND, ClusterError, ObjectRef, Scale

DEPLOYMENT = "Deployment"
POD = "Pod"
SLICE = "EndpointSlice"
_WATCHED = {names.MODEL_KIND: Watched.MODELS, SLICE: Watched.SLICES}


class MemoryCluster:
    """KubePort of the gateway and ClusterWriter of the operator, for the calls that a model with one revision needs."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is told of every write; it must not fail."""
        self._changed = changed
        self._version = 0
        self._objects: dict[tuple[str, str], Body] = {}
        self._followers: list[tuple[Watched, asyncio.Queue[WatchEvent]]] = []

    def put(self, kind: str, body: Body) -> Body:
        """Make or replace an object."""
        self._version += 1
        metadata = {**body["metadata"], "resourceVersion": str(self._version)}
        stored: Body = {**body, "metadata": metadata}
        self._objects[kind, metadata["name"]] = stored
        self._send(kind, Changed(body=stored))
        self._changed()
        return stored

    def get(self, kind: str, name: str) -> Body | None:
        """The object, or None."""
        return self._objects.get((kind, name))

    def of_kind(self, kind: str) -> tuple[Body, ...]:
        """All objects of a kind, in the order in which they were made."""
        return tuple(body for (found, _), body in self._objects.items() if found == kind)

    def remove(self, kind: str, name: str) -> None:
        """Delete an object; an absent one is fine."""
        body = self._objects.pop((kind, name), None)
        if body is not None:
            self._send(kind, Deleted(body=body))
            self._changed()

    async def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        """List and watch for ever."""
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._followers.append((watched, queue))
        yield Listed(
            objects=tuple(b for (kind, _), b in self._objects.items() if _WATCHED.get(kind) is watched)
        )
        while True:
            yield await queue.get()

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:
        """From 0 to 1; False when there are pods, or no such object."""
        kind = names.MODEL_KIND if target is ScaleTarget.MODEL else DEPLOYMENT
        body = self.get(kind, key.name)
        if body is None or _replicas(body):
            return False
        self._set_replicas(kind, body, 1)
        return True

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        """There are no Services whose slices a gateway would have to fill."""

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """The object, or None."""
        return self.get(ref.kind, ref.name)

    async def look(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        """Its metadata, or None."""
        body = self.get(ref.kind, ref.name)
        return None if body is None else body["metadata"]

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:  # noqa: ARG002 - the port's
        """Make or replace it."""
        return self.put(body["kind"], dict(body))

    async def apply_status(self, ref: ObjectRef, status: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the status. ClusterError (404) without the object."""
        return self.put(ref.kind, {**self._existing(ref), "status": dict(status)})

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        """Delete exactly this object."""
        body = self.get(ref.kind, ref.name)
        if body is not None and body["metadata"].get("uid") == uid:
            self.remove(ref.kind, ref.name)

    async def read_scale(self, ref: ObjectRef) -> Scale | None:
        """The number of pods and the version that said so, or None."""
        body = self.get(ref.kind, ref.name)
        if body is None:
            return None
        return Scale(replicas=_replicas(body), resource_version=body["metadata"]["resourceVersion"])

    async def write_scale(self, ref: ObjectRef, scale: Scale) -> Scale:
        """At that version only. ClusterError (409) at another, (404) without the object."""
        body = self._existing(ref)
        if body["metadata"]["resourceVersion"] != scale.resource_version:
            raise ClusterError(CONFLICT, f"{ref.kind} {ref.name} has changed since it was read")
        stored = self._set_replicas(ref.kind, body, scale.replicas)
        return Scale(replicas=scale.replicas, resource_version=stored["metadata"]["resourceVersion"])

    async def set_deletion_cost(self, pod: ObjectRef, uid: str, cost: int | None) -> None:
        """Written as the annotation; an absent pod is fine."""
        body = self.get(POD, pod.name)
        if body is None or body["metadata"].get("uid") != uid:
            return
        annotations = dict(body["metadata"].get("annotations") or {})
        annotations.pop(names.ANNOTATION_DELETION_COST, None)
        if cost is not None:
            annotations[names.ANNOTATION_DELETION_COST] = str(cost)
        self.put(POD, {**body, "metadata": {**body["metadata"], "annotations": annotations}})

    def _existing(self, ref: ObjectRef) -> Body:
        body = self.get(ref.kind, ref.name)
        if body is None:
            raise ClusterError(NOT_FOUND, f"there is no {ref.kind} {ref.name}")
        return body

    def _set_replicas(self, kind: str, body: Body, replicas: int) -> Body:
        return self.put(kind, {**body, "spec": {**(body.get("spec") or {}), "replicas": replicas}})

    def _send(self, kind: str, event: WatchEvent) -> None:
        for watched, queue in self._followers:
            if _WATCHED.get(kind) is watched:
                queue.put_nowait(event)


def _replicas(body: Body) -> int:
    return int((body.get("spec") or {}).get("replicas") or 0)
