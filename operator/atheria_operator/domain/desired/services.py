"""The two kinds of Service: one headless per revision for its pods, and one without selector for the gateway."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelIntent
from atheria_operator.domain.desired.revision import DesiredRevision
from atheria_operator.domain.names import owned_metadata, pod_selector


def build_pods_service(intent: ModelIntent, revision: DesiredRevision) -> dict[str, Any]:
    """Headless: its EndpointSlices carry these labels, by which the gateway finds the pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(intent, revision.name, revision_hash=revision.hash, role=names.ROLE_PODS),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": pod_selector(intent.key, revision.hash),
            "ports": [
                {**port, "targetPort": port["name"]}
                for port in (_tls_ports() if revision.has_tls else _ports())
            ],
        },
    }


def build_gateway_service(intent: ModelIntent) -> dict[str, Any]:
    """Without selector: the gateway's pods write its EndpointSlice, so calls reach them under the model's name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(intent, intent.key.name, role=names.ROLE_GATEWAY),
        "spec": {"type": "ClusterIP", "ports": _ports()},
    }


def _tls_ports() -> list[dict[str, Any]]:
    """By this word, which EndpointSlices take over, the gateway knows how to speak to the pods of this revision."""
    return [{**port, "appProtocol": names.APP_PROTOCOL_TLS} for port in _ports()]


def _ports() -> list[dict[str, Any]]:
    return [
        {
            "name": names.PORT_NAME_GRPC,
            "port": names.PORT_GRPC,
            "protocol": "TCP",
            "appProtocol": "kubernetes.io/h2c",
        },
        {"name": names.PORT_NAME_HTTP, "port": names.PORT_HTTP, "protocol": "TCP"},
    ]
