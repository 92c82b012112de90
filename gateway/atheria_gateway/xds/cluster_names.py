"""How a model's clusters and the private headers between the two listeners are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atheria_contract import names
from atheria_gateway.core.model import ModelKey

ACTIVATOR_CLUSTER: Final = "activator"
HOLD_LISTENER: Final = "hold"
CHECK_LISTENER: Final = "check"
"""Listener between the hold and the activator, and the cluster that leads to it."""
ROUTE_CONFIG: Final = "models"
LIVE_CLUSTER: Final = "live"
"""The activator's HTTP server for the live page."""
PATH_LIVE: Final = "/live/"
PATH_FLEET: Final = f"{PATH_LIVE}fleet.json"
PATH_LIVE_MODELS: Final = f"{PATH_LIVE}models/"
"""Before `NAMESPACE/NAME/stream`."""

HEADER_TARGET: Final = "x-atheria-target"
"""Set by the data listener's route: the cluster of pods that the hold listener sends a released call to."""
HEADER_ATTEMPT: Final = "x-envoy-attempt-count"
HEADER_NOT_STARTED: Final = "x-not-started"
"""On a reply of the hold listener: no pod saw this call, so it may be tried again."""

HEADER_ARRIVED: Final = "x-atheria-arrived"
"""Set by the data listener's route: when the call came, seconds since 1970."""
HEADER_CALLER: Final = "x-atheria-caller"
"""Set by the data listener: whose call it is, where a key or a client certificate says so."""
HEADER_BROKEN: Final = "x-atheria-broken"
"""On a reply of the hold listener: the pod's connection broke after the call went to it."""
TICKET: Final = "ticket"
"""In the metadata that a released call gets from the activator: its number, for the report of its end."""
METADATA: Final = "atheria"
"""Namespace of our own metadata on endpoints and calls."""
PRIVATE_HEADERS: Final = (
    HEADER_TARGET,
    HEADER_ATTEMPT,
    HEADER_NOT_STARTED,
    HEADER_ARRIVED,
    HEADER_CALLER,
    HEADER_BROKEN,
)
"""What nobody outside may set."""

_HTTP: Final = "/http"
_PODS: Final = "/pods"
_REVISION: Final = "/revision/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOf:
    """What a cluster's name says."""

    model: ModelKey
    http: bool
    """It speaks HTTP/1.1 to the REST port."""
    pods_only: bool
    revision: str = ""
    """Name of the one revision whose pods it has; empty for a model's cluster."""


def serving_cluster(model: ModelKey, *, http: bool) -> str:
    """Pods first, then the hold listener: where the data listener sends a model's calls."""
    return names.model_key(model.namespace, model.name) + (_HTTP if http else "")


def revision_cluster(model: ModelKey, revision: str, *, http: bool) -> str:
    """One revision's pods first, then the hold listener: its share of a model's calls."""
    return f"{serving_cluster(model, http=False)}{_REVISION}{revision}{_HTTP if http else ''}"


def pods_cluster(model: ModelKey, *, http: bool) -> str:
    """Pods only: where the hold listener sends a released call."""
    return serving_cluster(model, http=http) + _PODS


def read_cluster_name(cluster: str) -> ClusterOf | None:
    """What the name of a model's cluster says; None for others."""
    parts = cluster.split("/")
    if len(parts) < 2:
        return None
    model, rest = ModelKey(namespace=parts[0], name=parts[1]), parts[2:]
    revision = ""
    if len(rest) >= 2 and rest[0] == "revision":
        revision, rest = rest[1], rest[2:]
    if rest not in ([], ["pods"], ["http"], ["http", "pods"]) or (revision and "pods" in rest):
        return None
    return ClusterOf(model=model, http="http" in rest, pods_only="pods" in rest, revision=revision)
