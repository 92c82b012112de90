"""Routes of the data listener: authority, then header, then REST path, then the only model, else a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2

from atheria_contract import names
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import RoutingTable, authorities_of
from atheria_gateway.xds.cluster_names import (
    ACTIVATOR_CLUSTER,
    HEADER_ATTEMPT,
    HEADER_NOT_STARTED,
    HEADER_TARGET,
    pods_cluster,
    revision_cluster,
    serving_cluster,
)

RETRY_BODY_BYTES: Final = 4 * 1024 * 1024
"""A call with a larger body is not tried again when its pod vanishes before it starts."""
RETRIES: Final = 60
"""With the back-off below about 3 s: longer than Kubernetes takes to withdraw a pod that is ending."""
GRPC_NOT_FOUND: Final = "5"
HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"
_OVERWRITE: Final = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


Weights = Mapping[ModelKey, Mapping[str, int]]
"""Percent of the calls by revision, for models whose calls several take."""


def build_route_configuration(
    name: str, table: RoutingTable, token: str, weights: Weights | None = None
) -> route_pb2.RouteConfiguration:
    """The whole route configuration; `token` is the secret value of the header of a call that never started."""
    weights = weights or {}
    config = route_pb2.RouteConfiguration(name=name)
    # Nobody outside may pretend to be a hold, and no client sees what passes between the two listeners.
    config.request_headers_to_remove.append(HEADER_NOT_STARTED)
    config.response_headers_to_remove.extend(
        [HEADER_NOT_STARTED, HEADER_ATTEMPT, HEADER_TARGET, names.HEADER_REFUSED]
    )
    for model in table.models:
        host = _virtual_host(config, str(model), authorities_of(model), token)
        _model_routes(host, model, weights, prefix="/")
    anywhere = _virtual_host(config, "any", ("*",), token)
    for model in table.models:
        _model_routes(anywhere, model, weights, prefix="/", header=str(model))
    _refuse(anywhere, table.refusal, header_present=True)
    for model in table.unique_names:
        _model_routes(anywhere, model, weights, path=f"/v2/models/{model.name}")
    # A probe that names no model asks about the gateway: it must not wake a model, nor keep one awake.
    health = anywhere.routes.add()
    health.match.prefix = HEALTH_PREFIX
    health.route.cluster = ACTIVATOR_CLUSTER
    health.route.timeout.FromSeconds(5)
    if table.only is not None:
        _model_routes(anywhere, table.only, weights, prefix="/")
    else:
        _refuse(anywhere, table.refusal)
    return config


def _virtual_host(config: Any, name: str, domains: tuple[str, ...], token: str) -> Any:
    host = config.virtual_hosts.add(name=name, domains=domains)
    host.include_request_attempt_count = True
    host.per_request_buffer_limit_bytes.value = RETRY_BODY_BYTES
    retry = host.retry_policy
    retry.retry_on = "connect-failure,refused-stream,retriable-headers"
    retry.num_retries.value = RETRIES
    retry.retry_back_off.base_interval.FromMilliseconds(5)
    retry.retry_back_off.max_interval.FromMilliseconds(100)
    retry.retriable_headers.add(name=HEADER_NOT_STARTED).string_match.exact = token
    retry.retriable_headers.add(name=names.HEADER_REFUSED).string_match.exact = names.REFUSED_DRAINING
    retry.retry_priority.name = "envoy.retry_priorities.previous_priorities"
    retry.retry_priority.typed_config.Pack(
        previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=1)
    )
    return host


def _model_routes(
    host: Any, model: ModelKey, weights: Weights, *, prefix: str = "", path: str = "", header: str = ""
) -> None:
    for http in (False, True):
        route: route_components_pb2.Route = host.routes.add()
        if path:
            route.match.path_separated_prefix = path
        else:
            route.match.prefix = prefix
        if not http:
            route.match.grpc.SetInParent()
        if header:
            route.match.headers.add(name=names.HEADER_MODEL).string_match.exact = header
        if shares := weights.get(model):
            for revision, percent in shares.items():
                share = route.route.weighted_clusters.clusters.add()
                share.name = revision_cluster(model, revision, http=http)
                share.weight.value = percent
        else:
            route.route.cluster = serving_cluster(model, http=http)
        route.route.timeout.FromSeconds(0)
        route.request_headers_to_add.add(
            header=base_pb2.HeaderValue(key=HEADER_TARGET, value=pods_cluster(model, http=http)),
            append_action=_OVERWRITE,
        )


def _refuse(host: Any, message: str, *, header_present: bool = False) -> None:
    """NOT_FOUND: for gRPC a trailers-only answer, for anything else a 404 with JSON."""
    for http in (False, True):
        route = host.routes.add()
        route.match.prefix = "/"
        if header_present:
            route.match.headers.add(name=names.HEADER_MODEL).present_match = True
        if http:
            route.direct_response.status = 404
            route.direct_response.body.inline_string = json.dumps({"error": message})
            _answer_header(route, "content-type", "application/json")
        else:
            route.match.grpc.SetInParent()
            # Envoy makes the body of a direct response the grpc-message of a gRPC call; the status is its own guess.
            route.direct_response.status = 404
            route.direct_response.body.inline_string = message
            _answer_header(route, "grpc-status", GRPC_NOT_FOUND)


def _answer_header(route: Any, key: str, value: str) -> None:
    route.response_headers_to_add.add(
        header=base_pb2.HeaderValue(key=key, value=value), append_action=_OVERWRITE
    )
