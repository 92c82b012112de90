"""What the activator needs of the outside world; adapters implement it, tests fake it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from atheria_gateway.core.demand import Demand, EnvoyCounters
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey


class Watched(StrEnum):
    """The collections that the gateway follows."""

    MODELS = "models"
    SLICES = "slices"
    """EndpointSlices with the label atheria.dev/role."""
    PODS = "pods"
    """The gateway's own pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The whole collection: what is not in it is gone."""

    objects: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One object as it is now."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """One object's last state."""

    body: Mapping[str, Any]


WatchEvent = Listed | Changed | Deleted


class ScaleTarget(StrEnum):
    """Whose scale subresource is patched."""

    MODEL = "model"
    DEPLOYMENT = "deployment"


class KubePort(Protocol):
    """The Kubernetes API, as far as the gateway uses it."""

    def follow(self, watched: Watched) -> AsyncIterator[WatchEvent]:
        """List and watch for ever: first a Listed, after each loss of the watch's place another."""
        ...

    async def scale_from_zero(self, target: ScaleTarget, key: ModelKey) -> bool:
        """Set replicas from 0 to 1; False when they are not 0 or the object is gone. Other failures raise OSError."""
        ...

    async def apply_slice(self, body: Mapping[str, Any]) -> None:
        """Server-side apply of an EndpointSlice; OSError when it fails."""
        ...


class EnvoyPort(Protocol):
    """Envoy's admin interface; each question is bounded in time."""

    async def counters(self) -> Mapping[ModelKey, EnvoyCounters]:
        """Each model's figures; OSError when Envoy does not answer."""
        ...

    async def allocated_bytes(self) -> int:
        """Memory that Envoy has allocated; OSError when it does not answer."""
        ...

    async def fail_health_check(self) -> None:
        """Make Envoy's /healthz fail, so that no new connections come; OSError when Envoy does not answer."""
        ...


class ProbePort(Protocol):
    """Connections to pods."""

    async def connects(self, endpoint: Endpoint, *, http: bool) -> bool:
        """Whether a TCP connection to the pod's REST port (`http`) or its gRPC port succeeds within a bounded time."""
        ...


class StandbyPort(Protocol):
    """Pods in standby."""

    async def wake(self, endpoint: Endpoint, model: ModelKey) -> bool:
        """Wake the pod and wait until it is ready for calls; False when it is not asleep but starts, or does not answer."""
        ...


class DemandPort(Protocol):
    """The operator's demand sink."""

    def offer(self, demand: tuple[Demand, ...]) -> None:
        """Hand over the newest report; never blocks, an unsent older one is dropped."""
        ...
