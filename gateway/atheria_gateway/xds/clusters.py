"""Clusters of a model: endpoints by EDS over ADS, bounded buffers, raised limits, no panic."""

from __future__ import annotations

from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.extensions.load_balancing_policies.least_request.v3 import least_request_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from atheria_contract import names
from atheria_gateway.xds.cluster_names import read_cluster_name
from atheria_gateway.xds.tls import choose_transport

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
POD_WINDOW_BYTES: Final = 128 * 1024
"""Of Envoy towards pods and the hold. A tensor of 64 KiB with its headers passes in one go: with 64 KiB its last bytes waited for
a window update, 0.4 ms a call and half as much processor time again (docs/benchmarks/gateway.md)."""
HOLD_WINDOW_BYTES: Final = 64 * 1024
"""Of the hold towards the data listener: with the two others it bounds a held or stuck call to 0.9 MiB in Envoy."""
CALLER_WINDOW_BYTES: Final = 256 * 1024
"""Between callers and Envoy, where round trips are longer."""
CONNECTION_WINDOW_BYTES: Final = 2**31 - 1
"""The protocol's largest: a smaller one fills up with held bodies, which then stop warm calls on the same connection.

What Envoy keeps is bounded by the stream window times the number of held calls.
"""
UNBOUNDED: Final = 1_000_000
"""For circuit breakers: the activator bounds held calls, the pods' queues bound the rest."""
PREMATURE_RESETS: Final = 10_000
"""Envoy's guard against floods of resets: a connection with so many streams, most of them given up within 2 s, is closed.

It also guards the hold listener, whose connections carry the calls of many callers: see CALLS_PER_CONNECTION. By
default it is 500, so one impatient caller would end the held calls of all others.
"""
CALLS_PER_CONNECTION: Final = PREMATURE_RESETS - 1000
"""After so many calls Envoy takes a new connection to a pod or to the hold: none ever reaches the guard."""
CONNECT_TIMEOUT_MS: Final = 1000


def build_cluster(name: str, *, http: bool, tls_directory: str = "") -> cluster_pb2.Cluster:
    """A cluster that speaks HTTP/1.1 to the pods' REST port (`http`) or HTTP/2 to their gRPC port.

    With a `tls_directory` (see `xds.tls.pod_secrets`) by TLS to the pods that ask for it.
    """
    cluster = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS)
    # Of all pods, not of two drawn at random: calls are few and long, and one too many on a pod waits a whole batch.
    fewest = least_request_pb2.LeastRequest(selection_method=least_request_pb2.LeastRequest.FULL_SCAN)
    policy = cluster.load_balancing_policy.policies.add().typed_extension_config
    policy.name = "envoy.load_balancing_policies.least_request"
    policy.typed_config.Pack(fewest)
    cluster.eds_cluster_config.eds_config.ads.SetInParent()
    cluster.eds_cluster_config.eds_config.resource_api_version = 2
    # Without a limit: a cluster without its pods would send calls nowhere.
    cluster.eds_cluster_config.eds_config.initial_fetch_timeout.FromSeconds(0)
    cluster.connect_timeout.FromMilliseconds(CONNECT_TIMEOUT_MS)
    # An emptied priority 0 must fall to the hold, never spread over hosts that are gone.
    cluster.common_lb_config.healthy_panic_threshold.value = 0.0
    cluster.common_lb_config.update_merge_window.FromSeconds(0)
    for priority in (base_pb2.DEFAULT, base_pb2.HIGH):
        limits = cluster.circuit_breakers.thresholds.add(priority=priority)
        for limit in (
            limits.max_connections,
            limits.max_pending_requests,
            limits.max_requests,
            limits.max_retries,
        ):
            limit.value = UNBOUNDED
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.common_http_protocol_options.max_requests_per_connection.value = CALLS_PER_CONNECTION
    if http:
        options.explicit_http_config.http_protocol_options.SetInParent()
    else:
        http2 = options.explicit_http_config.http2_protocol_options
        http2.initial_stream_window_size.value = POD_WINDOW_BYTES
        http2.initial_connection_window_size.value = CONNECTION_WINDOW_BYTES
    cluster.typed_extension_protocol_options[_HTTP_OPTIONS].Pack(options)
    cluster.per_connection_buffer_limit_bytes.value = POD_WINDOW_BYTES
    # A pod's connections are dropped when it leaves only after its calls: EDS removal drains.
    cluster.close_connections_on_host_health_failure = False
    target = read_cluster_name(name)
    if tls_directory and target is not None:
        host = names.pod_host(target.model.namespace, target.model.name)
        choose_transport(cluster, host=host, http=http, directory=tls_directory)
    return cluster
