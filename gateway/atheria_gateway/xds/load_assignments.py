"""Endpoints of a cluster: pods at priority 0, the hold listener at priority 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_pb2

from atheria_contract import names
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.xds.cluster_names import METADATA
from atheria_gateway.xds.tls import MATCH, MATCH_METADATA

OVERPROVISIONING_PERCENT: Final = 1_000_000
"""So high that priority 0 takes every call while it has one healthy pod."""


def build_load_assignment(
    cluster: str,
    endpoints: Iterable[Endpoint],
    *,
    http: bool,
    hold_socket: str | None,
    is_detained: bool = False,
) -> endpoint_pb2.ClusterLoadAssignment:
    """The assignment of one cluster; `hold_socket` None leaves the hold listener out (a cluster of pods only).

    With `is_detained` the hold takes every call, while connections and calls at the pods go on.
    """
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster)
    pods = assignment.endpoints.add(priority=0)
    for endpoint in endpoints:
        pod = pods.lb_endpoints.add()
        if is_detained:
            pod.health_status = health_check_pb2.UNHEALTHY
        if endpoint.revision:
            pod.metadata.filter_metadata[METADATA]["revision"] = endpoint.revision
        if endpoint.has_tls:
            pod.metadata.filter_metadata[MATCH_METADATA][MATCH] = names.TLS_MUTUAL
        address = pod.endpoint.address.socket_address
        address.address = endpoint.address
        address.port_value = endpoint.http_port if http else endpoint.grpc_port
    if hold_socket is not None:
        assignment.endpoints.add(priority=1).lb_endpoints.add().endpoint.address.pipe.path = hold_socket
        assignment.policy.overprovisioning_factor.value = OVERPROVISIONING_PERCENT
    return assignment
