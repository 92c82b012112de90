"""The way from a route to a model's pods, or to the hold where there are none: the same for every way of naming the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from envoy.config.core.v3 import base_pb2

from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.cluster_names import (
    HEADER_TARGET,
    METADATA,
    pods_cluster,
    revision_cluster,
    serving_cluster,
)

OVERWRITE: Final = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

Weights = Mapping[ModelKey, Mapping[str, int]]
"""Percent of the calls by revision, for models whose calls several take."""


def lead_to_model(route: Any, model: ModelKey, weights: Weights, *, http: bool) -> None:
    """Fill in a route's action: to the REST port (`http`) or the gRPC port, without a time limit."""
    if shares := weights.get(model):
        for revision, percent in shares.items():
            share = route.route.weighted_clusters.clusters.add()
            share.name = revision_cluster(model, revision, http=http)
            share.weight.value = percent
    else:
        route.route.cluster = serving_cluster(model, http=http)
    route.route.timeout.FromSeconds(0)
    route.metadata.filter_metadata[METADATA]["model"] = str(model)
    route.request_headers_to_add.add(
        header=base_pb2.HeaderValue(key=HEADER_TARGET, value=pods_cluster(model, http=http)),
        append_action=OVERWRITE,
    )


def answer_header(route: Any, key: str, value: str) -> None:
    """Every answer by this route has the header with this value."""
    route.response_headers_to_add.add(
        header=base_pb2.HeaderValue(key=key, value=value), append_action=OVERWRITE
    )
