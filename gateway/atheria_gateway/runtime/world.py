"""The gateway's picture of the cluster, kept by the watches; read by the activator's loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atheria_contract import names
from atheria_gateway.core.endpoints import Endpoint, PodSlice, endpoints_of, pod_slice_from_object, unready_of
from atheria_gateway.core.live_model import LiveModel, live_model_from_object
from atheria_gateway.core.mirror import GatewayPod, gateway_pod_from_object
from atheria_gateway.core.model import Model, ModelKey, model_from_object
from atheria_gateway.core.roused import Roused
from atheria_gateway.core.routing import DataPlane, routing_table
from atheria_gateway.core.shares import shares_of
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, Watched, WatchEvent

_Name = tuple[str, str]


@dataclass(slots=True)
class World:
    """Models, slices and gateway pods as last seen."""

    has_certificate: bool = True
    """Pods that speak TLS can be called; else they are left out, as the next gateway pod may have one."""
    has_live_page: bool = False
    """What the live page shows is kept, too."""
    models: dict[ModelKey, Model] = field(default_factory=dict)
    live_models: dict[ModelKey, LiveModel] = field(default_factory=dict)
    gateway_pods: dict[_Name, GatewayPod] = field(default_factory=dict)
    gateway_slices: dict[_Name, Mapping[str, Any]] = field(default_factory=dict)
    roused: Roused = field(default_factory=Roused)
    _pod_slices: dict[ModelKey, dict[str, PodSlice]] = field(default_factory=dict)
    _listed: set[Watched] = field(default_factory=set)

    @property
    def is_complete(self) -> bool:
        """Whether models and slices have been listed once: before that nothing may be told to Envoy."""
        return {Watched.MODELS, Watched.SLICES} <= self._listed

    @property
    def ready_gateways(self) -> int:
        """Gateway pods that take calls, this one among them; at least 1."""
        return max(1, sum(pod.ready for pod in self.gateway_pods.values()))

    def take(self, watched: Watched, event: WatchEvent) -> None:
        """Apply one event of a watch."""
        if isinstance(event, Listed):
            self._clear(watched)
            for body in event.objects:
                self._put(watched, body)
            self._listed.add(watched)
        elif isinstance(event, Changed):
            self._put(watched, event.body)
        else:
            self._drop(watched, event)

    def ready_of(self, key: ModelKey) -> tuple[Endpoint, ...]:
        """The ready pods that may take the model's calls."""
        model = self.models.get(key)
        return endpoints_of(model, self._slices(key)) if model else ()

    def unready_of(self, key: ModelKey) -> tuple[Endpoint, ...]:
        """Its pods that start or sleep: those of the revisions that take calls, of others only where these have none."""
        model = self.models.get(key)
        return unready_of(model, self._slices(key)) if model else ()

    def _slices(self, key: ModelKey) -> tuple[PodSlice, ...]:
        return tuple(self.roused.counted(key, self._pod_slices.get(key, {}).values()))

    def data_plane(self, detained: frozenset[ModelKey] = frozenset()) -> DataPlane:
        """What Envoy is to know now; the calls of `detained` models pass the hold although they have pods."""
        table = routing_table(self.models)
        shares = {
            key: found for key in table.models if (found := shares_of(self.models[key], self._slices(key)))
        }
        return DataPlane(
            routing=table,
            endpoints={key: self.ready_of(key) for key in table.models},
            shares=shares,
            detained=frozenset(key for key in detained if key in self.models and key not in shares),
            idempotent=frozenset(key for key, model in self.models.items() if model.is_idempotent),
        )

    def _clear(self, watched: Watched) -> None:
        if watched is Watched.MODELS:
            self.models.clear()
            self.live_models.clear()
        elif watched is Watched.PODS:
            self.gateway_pods.clear()
        else:
            self._pod_slices.clear()
            self.gateway_slices.clear()

    def _put(self, watched: Watched, body: Mapping[str, Any]) -> None:
        if watched is Watched.MODELS:
            model = model_from_object(body)
            self.models[model.key] = model
            if self.has_live_page:
                self.live_models[model.key] = live_model_from_object(body)
        elif watched is Watched.PODS:
            pod = gateway_pod_from_object(body)
            if pod is None:
                self.gateway_pods.pop(_name(body), None)
            else:
                self.gateway_pods[_name(body)] = pod
        elif _role(body) == names.ROLE_GATEWAY:
            self.gateway_slices[_name(body)] = body
        elif _role(body) == names.ROLE_PODS:
            one = pod_slice_from_object(body, has_certificate=self.has_certificate)
            self.roused.seen(one)
            self._pod_slices.setdefault(one.model, {})[one.name] = one

    def _drop(self, watched: Watched, event: Deleted) -> None:
        name = _name(event.body)
        if watched is Watched.MODELS:
            key = ModelKey(namespace=name[0], name=name[1])
            self.models.pop(key, None)
            self.live_models.pop(key, None)
        elif watched is Watched.PODS:
            self.gateway_pods.pop(name, None)
        else:
            self.gateway_slices.pop(name, None)
            for key, slices in list(self._pod_slices.items()):
                if key.namespace == name[0] and slices.pop(name[1], None) is not None and not slices:
                    del self._pod_slices[key]


def _name(body: Mapping[str, Any]) -> _Name:
    metadata = body["metadata"]
    return str(metadata["namespace"]), str(metadata["name"])


def _role(body: Mapping[str, Any]) -> str:
    return str((body["metadata"].get("labels") or {}).get(names.LABEL_ROLE) or "")
