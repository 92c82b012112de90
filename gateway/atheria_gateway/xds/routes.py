"""Routes of the data listener: authority, then header, then REST path, then the only model, else a refusal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2

from atheria_contract import names
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import RoutingTable, authorities_of
from atheria_gateway.xds.api_keys import FILTER_NAME
from atheria_gateway.xds.cluster_names import (
    ACTIVATOR_CLUSTER,
    HEADER_ARRIVED,
    HEADER_ATTEMPT,
    HEADER_BROKEN,
    HEADER_CALLER,
    HEADER_NOT_STARTED,
    HEADER_TARGET,
    METADATA,
)
from atheria_gateway.xds.listeners import REVISION_OF_POD
from atheria_gateway.xds.live_page import LARGEST_FILE_BYTES, PageFile, add_live_page
from atheria_gateway.xds.model_route import OVERWRITE, Weights, answer_header, lead_to_model

RETRY_BODY_BYTES: Final = 4 * 1024 * 1024
"""A call with a larger body is not tried again when its pod vanishes before it starts."""
RETRIES: Final = 60
"""With the back-off below about 3 s: longer than Kubernetes takes to withdraw a pod that is ending."""
RETRY_ON: Final = "connect-failure,refused-stream,retriable-headers"
"""Only what provably did not begin at a pod; a GOAWAY refuses the streams that it leaves out."""
RETRIES_IDEMPOTENT: Final = 4
"""With calls that may have begun among them: one that brings pods down must not bring them all down."""
ARRIVED: Final = "%START_TIME(%s.%3f)%"
CORS_FILTER: Final = "envoy.filters.http.cors"
CORS_METHODS: Final = "GET, POST, OPTIONS"
CORS_REQUEST_HEADERS: Final = f"authorization, content-type, grpc-timeout, traceparent, x-grpc-web, x-user-agent, x-request-id, {names.HEADER_MODEL}"
CORS_RESPONSE_HEADERS: Final = (
    f"grpc-status, grpc-message, grpc-status-details-bin, retry-after, x-request-id, {names.HEADER_REVISION}, "
    f"{names.HEADER_HELD}"
)
CORS_MAX_AGE_S: Final = "600"
GRPC_NOT_FOUND: Final = "5"
HEALTH_PREFIX: Final = "/grpc.health.v1.Health/"


def build_route_configuration(
    name: str,
    table: RoutingTable,
    token: str,
    weights: Weights | None = None,
    *,
    idempotent: frozenset[ModelKey] = frozenset(),
    cors_origins: Sequence[str] = (),
    has_api_keys: bool = False,
    live_page: Sequence[PageFile] | None = None,
) -> route_pb2.RouteConfiguration:
    """The whole route configuration; `token` is the secret value of the header of a call that never started.

    Calls of `idempotent` models may be sent again after they began; pages from `cors_origins` may call. `live_page` has the files of the
    live page; None = there is none.
    """
    weights = weights or {}
    config = route_pb2.RouteConfiguration(name=name)
    # The authority keeps its port, by which a page's origin is known.
    config.ignore_port_in_host_matching = True
    # No client sees what passes between the two listeners; what it sends of it is removed before the filters.
    config.response_headers_to_remove.extend(
        [HEADER_NOT_STARTED, HEADER_BROKEN, HEADER_ATTEMPT, HEADER_TARGET, names.HEADER_REFUSED]
    )
    config.response_headers_to_add.add(
        header=base_pb2.HeaderValue(key=names.HEADER_REVISION, value=REVISION_OF_POD),
        append_action=OVERWRITE,
    )
    config.request_headers_to_add.add(
        header=base_pb2.HeaderValue(key=HEADER_ARRIVED, value=ARRIVED), append_action=OVERWRITE
    )
    # Empty, and so left out, where callers show no certificates; a key's name comes first.
    config.request_headers_to_add.add(
        header=base_pb2.HeaderValue(key=HEADER_CALLER, value="%DOWNSTREAM_PEER_FINGERPRINT_256%"),
        append_action=base_pb2.HeaderValueOption.ADD_IF_ABSENT,
    )
    for model in table.models:
        host = _virtual_host(config, str(model), authorities_of(model), token)
        _model_routes(host, model, weights, prefix="/")
    anywhere = _virtual_host(config, "any", ("*",), token)
    for model in table.models:
        _model_routes(anywhere, model, weights, prefix="/", header=str(model))
    _refuse(anywhere, table.refusal, header_present=True)
    if live_page is not None:
        config.max_direct_response_body_size_bytes.value = LARGEST_FILE_BYTES
        add_live_page(anywhere, table.models, weights, live_page, has_api_keys=has_api_keys)
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
    if has_api_keys:
        # Load balancers show no key, and it says nothing of a model.
        health.typed_per_filter_config[FILTER_NAME].Pack(lua_pb2.LuaPerRoute(disabled=True))
    for host in config.virtual_hosts:
        _allow_origins(host, cors_origins)
        for route in host.routes:
            _allow_second_try(route, idempotent, token)
    return config


def _allow_origins(host: Any, origins: Sequence[str]) -> None:
    if not origins:
        return
    policy = cors_pb2.CorsPolicy(
        allow_methods=CORS_METHODS,
        allow_headers=CORS_REQUEST_HEADERS,
        expose_headers=CORS_RESPONSE_HEADERS,
        max_age=CORS_MAX_AGE_S,
    )
    for origin in origins:
        match = policy.allow_origin_string_match.add()
        if origin == "*":
            match.safe_regex.regex = ".*"
        else:
            match.exact = origin
    host.typed_per_filter_config[CORS_FILTER].Pack(policy)


def _allow_second_try(route: Any, idempotent: frozenset[ModelKey], token: str) -> None:
    """Calls of models that may be computed twice are sent again also when the pod's connection broke."""
    model = (
        route.metadata.filter_metadata[METADATA]["model"]
        if METADATA in route.metadata.filter_metadata
        else ""
    )
    if not model or ModelKey.parse(model) not in idempotent:
        return
    retry = _retry_policy(route.route.retry_policy, token)
    retry.retry_on = f"{RETRY_ON},reset"
    retry.num_retries.value = RETRIES_IDEMPOTENT
    retry.retry_back_off.base_interval.FromMilliseconds(50)
    retry.retry_back_off.max_interval.FromSeconds(1)
    retry.retriable_headers.add(name=HEADER_BROKEN).string_match.exact = token


def _virtual_host(config: Any, name: str, domains: tuple[str, ...], token: str) -> Any:
    host = config.virtual_hosts.add(name=name, domains=domains)
    host.include_request_attempt_count = True
    host.per_request_buffer_limit_bytes.value = RETRY_BODY_BYTES
    _retry_policy(host.retry_policy, token)
    return host


def _retry_policy(retry: Any, token: str) -> Any:
    retry.retry_on = RETRY_ON
    retry.num_retries.value = RETRIES
    retry.retry_back_off.base_interval.FromMilliseconds(5)
    retry.retry_back_off.max_interval.FromMilliseconds(100)
    retry.retriable_headers.add(name=HEADER_NOT_STARTED).string_match.exact = token
    retry.retriable_headers.add(name=names.HEADER_REFUSED).string_match.exact = names.REFUSED_DRAINING
    retry.retry_priority.name = "envoy.retry_priorities.previous_priorities"
    retry.retry_priority.typed_config.Pack(
        previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=1)
    )
    return retry


def _model_routes(
    host: Any, model: ModelKey, weights: Weights, *, prefix: str = "", path: str = "", header: str = ""
) -> None:
    for http in (False, True):
        route: route_components_pb2.Route = host.routes.add()
        if path:
            route.match.path_separated_prefix = path
        else:
            route.match.prefix = prefix
        if header:
            route.match.headers.add(name=names.HEADER_MODEL).string_match.exact = header
        if not http:
            _match_grpc(route)
        lead_to_model(route, model, weights, http=http)


def _match_grpc(route: Any) -> None:
    """Also gRPC-Web, which the filters turn into gRPC only after a route is chosen; Envoy's own matcher leaves it out."""
    route.match.headers.add(name="content-type").string_match.prefix = "application/grpc"


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
            answer_header(route, "content-type", "application/json")
        else:
            _match_grpc(route)
            # Envoy makes the body of a direct response the grpc-message of a gRPC call; the status is its own guess.
            route.direct_response.status = 404
            route.direct_response.body.inline_string = message
            answer_header(route, "grpc-status", GRPC_NOT_FOUND)
