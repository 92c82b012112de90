"""What happened to a model's pods and to its number, by watches of its own, in monotonic seconds: when the cluster said so, not when asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atheria_contract import names
from bench.chaos.api import Api


@dataclass(slots=True, kw_only=True)
class PodLife:
    """One pod; None = not yet."""

    name: str
    created: float
    ready: float | None = None
    leaving: float | None = None
    gone: float | None = None

    def seconds_in(self, begin: float, end: float) -> float:
        """For how long it was there between two moments."""
        return max(0.0, min(end, self.gone if self.gone is not None else end) - max(begin, self.created))

    @property
    def start_seconds(self) -> float | None:
        """From creation to ready."""
        return None if self.ready is None else self.ready - self.created


class Timeline:
    """Filled by its three coroutines, each of which runs until cancelled."""

    def __init__(self, api: Api, namespace: str, model: str) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = f"{names.LABEL_MODEL}={model}"
        self._pods: dict[str, PodLife] = {}
        self._was_ready: set[str] = set()
        self.replicas: list[tuple[float, int]] = []
        """(when, spec.replicas of its Deployments, the highest), at each change."""
        self.endpoints: list[tuple[float, int]] = []
        """(when, ready endpoints of its pods), at each change."""

    @property
    def lives(self) -> list[PodLife]:
        """All pods there have been, in order of creation."""
        return sorted(self._pods.values(), key=lambda pod: pod.created)

    async def pods(self) -> None:
        """Follow its pods."""
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        async for objects in self._api.follow(path, self._selector):
            now = time.monotonic()
            for uid, body in objects.items():
                metadata = body["metadata"]
                pod = self._pods.setdefault(uid, PodLife(name=str(metadata["name"]), created=now))
                if pod.ready is None and _is_ready(body):
                    pod.ready = now
                if pod.leaving is None and metadata.get("deletionTimestamp"):
                    pod.leaving = now
            for uid, pod in self._pods.items():
                if uid not in objects and pod.gone is None:
                    pod.gone = now

    async def scale(self) -> None:
        """Follow its Deployments."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments"
        await self._follow(path, self._selector, self.replicas, lambda one: int(one["spec"]["replicas"]))

    async def slices(self) -> None:
        """Follow the EndpointSlices of its pods."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self._namespace}/endpointslices"
        selector = f"{self._selector},{names.LABEL_ROLE}={names.ROLE_PODS}"
        await self._follow(path, selector, self.endpoints, _ready_endpoints)

    async def _follow(
        self,
        path: str,
        selector: str,
        found: list[tuple[float, int]],
        number_of: Callable[[dict[str, Any]], int],
    ) -> None:
        async for objects in self._api.follow(path, selector):
            now = time.monotonic()
            number = max((number_of(one) for one in objects.values()), default=0)
            if not found or found[-1][1] != number:
                found.append((now, number))


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _ready_endpoints(item: dict[str, Any]) -> int:
    return sum(1 for one in item.get("endpoints") or () if (one.get("conditions") or {}).get("ready"))
