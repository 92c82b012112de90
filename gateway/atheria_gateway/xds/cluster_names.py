"""How a model's clusters and the private headers between the two listeners are called."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from atheria_gateway.core.model import ModelKey

ACTIVATOR_CLUSTER: Final = "activator"
HOLD_LISTENER: Final = "hold"
ROUTE_CONFIG: Final = "models"

HEADER_TARGET: Final = "x-atheria-target"
"""Set by the data listener's route: the cluster of pods that the hold listener sends a released call to."""
HEADER_ATTEMPT: Final = "x-envoy-attempt-count"
HEADER_NOT_STARTED: Final = "x-not-started"
"""On a reply of the hold listener: no pod saw this call, so it may be tried again."""

_HTTP: Final = "/http"
_PODS: Final = "/pods"


def serving_cluster(model: ModelKey, *, http: bool) -> str:
    """Pods first, then the hold listener: where the data listener sends a model's calls."""
    return names.model_key(model.namespace, model.name) + (_HTTP if http else "")


def pods_cluster(model: ModelKey, *, http: bool) -> str:
    """Pods only: where the hold listener sends a released call."""
    return serving_cluster(model, http=http) + _PODS


def model_of_cluster(cluster: str) -> tuple[ModelKey, bool, bool] | None:
    """The model of a cluster's name, whether it speaks HTTP/1.1, and whether it is pods only; None for others."""
    parts = cluster.split("/")
    rest = parts[2:]
    if len(parts) < 2 or rest not in ([], ["pods"], ["http"], ["http", "pods"]):
        return None
    return ModelKey(namespace=parts[0], name=parts[1]), "http" in rest, "pods" in rest
