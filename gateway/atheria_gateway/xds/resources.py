"""Envoy resources of the data plane, by type and name; built anew at each change, compared by their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import any_pb2

from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import DataPlane
from atheria_gateway.xds.cluster_names import ROUTE_CONFIG, pods_cluster, revision_cluster, serving_cluster
from atheria_gateway.xds.clusters import build_cluster
from atheria_gateway.xds.live_page import PageFile
from atheria_gateway.xds.load_assignments import build_load_assignment
from atheria_gateway.xds.routes import build_route_configuration

_PREFIX: Final = "type.googleapis.com/"
CDS: Final = _PREFIX + "envoy.config.cluster.v3.Cluster"
EDS: Final = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
RDS: Final = _PREFIX + "envoy.config.route.v3.RouteConfiguration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that Envoy is to know, packed: resources by name for each type, and each EDS name's pods."""

    clusters: Mapping[str, any_pb2.Any]
    assignments: Mapping[str, any_pb2.Any]
    routes: any_pb2.Any
    endpoints: Mapping[str, frozenset[Endpoint]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyOptions:
    """What the resources depend on besides the models."""

    hold_socket: str
    """Path of the unix socket on which the hold listener listens."""
    not_started_token: str
    """Secret value of HEADER_NOT_STARTED: no pod knows it, so none can have a call played again."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call from browsers; `*` for all."""
    has_api_keys: bool = False
    """Callers show keys."""
    live_page: tuple[PageFile, ...] | None = None
    """Files of the live page; None = there is none."""
    tls_directory: str = ""
    """Folder with the files of `xds.tls.pod_secrets`; empty = calls to pods are plain text."""


def build_snapshot(plane: DataPlane, options: EnvoyOptions) -> Snapshot:
    """All resources for the present models and pods."""
    clusters: dict[str, any_pb2.Any] = {}
    assignments: dict[str, any_pb2.Any] = {}
    endpoints: dict[str, frozenset[Endpoint]] = {}
    for model in plane.routing.models:
        ready = plane.endpoints.get(model, ())
        for http in (False, True):
            retired = [
                (revision_cluster(model, revision, http=http), options.hold_socket)
                for revision in plane.retired.get(model, ())
            ]
            for name, hold in (
                (serving_cluster(model, http=http), options.hold_socket),
                (pods_cluster(model, http=http), None),
                *retired,
            ):
                clusters[name] = packed(build_cluster(name, http=http, tls_directory=options.tls_directory))
                assignments[name] = packed(
                    build_load_assignment(
                        name,
                        ready,
                        http=http,
                        hold_socket=hold,
                        is_detained=hold is not None and model in plane.detained,
                    )
                )
                endpoints[name] = frozenset(ready)
            for share in plane.shares.get(model, ()):
                name = revision_cluster(model, share.revision, http=http)
                clusters[name] = packed(build_cluster(name, http=http, tls_directory=options.tls_directory))
                assignments[name] = packed(
                    build_load_assignment(name, share.endpoints, http=http, hold_socket=options.hold_socket)
                )
                endpoints[name] = frozenset(share.endpoints)
    routes = packed(
        build_route_configuration(
            ROUTE_CONFIG,
            plane.routing,
            options.not_started_token,
            _weights(plane),
            idempotent=plane.idempotent,
            cors_origins=options.cors_origins,
            has_api_keys=options.has_api_keys,
            live_page=options.live_page,
        )
    )
    return Snapshot(clusters=clusters, assignments=assignments, routes=routes, endpoints=endpoints)


def _weights(plane: DataPlane) -> dict[ModelKey, dict[str, int]]:
    return {
        model: {share.revision: share.weight for share in shares} for model, shares in plane.shares.items()
    }


def packed(message: Any) -> any_pb2.Any:
    """A message in an Any, with deterministic bytes so that equal resources compare equal."""
    wrapper = any_pb2.Any()
    wrapper.Pack(message, deterministic=True)
    return wrapper
