"""CoreDNS as a process beside the node, and the Service `kube-dns` that leads pods to it. Called by `cluster`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from atheria_local import network, node, paths
from atheria_local.shell import run


def coredns_command(program: str, kubeconfig: Path) -> list[str]:
    """Write the Corefile; the command that starts CoreDNS. Names outside of the cluster do not exist here."""
    file = paths.CLUSTER / "Corefile"
    file.write_text(f"""\
cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {network.NODE_ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
}}
.:53 {{
    bind {network.NODE_ADDRESS}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
""")
    return [program, "-conf", str(file)]


def publish(kubectl: Sequence[str]) -> None:
    """Apply the Service and the EndpointSlice that names the node as its endpoint."""
    ports = [
        {"name": f"dns-{protocol.lower()}", "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": node.DNS_SERVICE, "ports": ports},
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-node",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [network.NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": ports,
    }
    for item in (service, endpoints):
        run([*kubectl, "apply", "-f", "-"], stdin=json.dumps(item))
