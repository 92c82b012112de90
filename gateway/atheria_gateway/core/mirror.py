"""The EndpointSlices that lead a model's Service to the gateway's pods. Every gateway pod computes the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.core.model import Model

MAX_ADDRESSES: Final = 1000
"""The API's bound on endpoints in one slice."""
PLAIN: Final = "kubernetes.io/h2c"
"""appProtocol of the gRPC port: HTTP/2 in plain text, by prior knowledge."""
TLS: Final = names.APP_PROTOCOL_TLS


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class GatewayPod:
    """One gateway pod that could take calls."""

    address: str
    ready: bool


def gateway_pod_from_object(body: Mapping[str, Any]) -> GatewayPod | None:
    """Read a pod; None when it has no address, has ended or is going away."""
    status = body.get("status") or {}
    address = str(status.get("podIP") or "")
    ended = status.get("phase") in {"Succeeded", "Failed"}
    if not address or ended or (body.get("metadata") or {}).get("deletionTimestamp"):
        return None
    conditions = {item.get("type"): item.get("status") for item in status.get("conditions") or ()}
    return GatewayPod(address=address, ready=conditions.get("Ready") == "True")


def gateway_slice_name(model_name: str) -> str:
    """Name of the slice of a model's Service."""
    return f"{model_name}-gateway"


def gateway_slice(
    model: Model, pods: Iterable[GatewayPod], *, has_tls: bool = False
) -> dict[str, Any] | None:
    """The EndpointSlice to apply for a model; None when what is there stays: no pod is known, or the model is going.

    With `has_tls` both ports of the gateway speak TLS.
    """
    ordered = sorted(set(pods))[:MAX_ADDRESSES]
    if not ordered or model.is_leaving:
        return None
    metadata: dict[str, Any] = {
        "name": gateway_slice_name(model.key.name),
        "namespace": model.key.namespace,
        "labels": {
            "kubernetes.io/service-name": model.key.name,
            "endpointslice.kubernetes.io/managed-by": names.GROUP,
            names.LABEL_ROLE: names.ROLE_GATEWAY,
            names.LABEL_MODEL: model.key.name,
        },
    }
    if model.uid:
        metadata["ownerReferences"] = [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODEL_KIND,
                "name": model.key.name,
                "uid": model.uid,
            }
        ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv6" if ":" in ordered[0].address else "IPv4",
        "endpoints": [
            {
                "addresses": [pod.address],
                "conditions": {"ready": pod.ready, "serving": pod.ready, "terminating": False},
            }
            for pod in ordered
        ],
        "ports": [
            _port(names.PORT_NAME_GRPC, names.PORT_GRPC, TLS if has_tls else PLAIN),
            _port(names.PORT_NAME_HTTP, names.PORT_HTTP, TLS if has_tls else ""),
        ],
    }


def protocols_of(body: Mapping[str, Any]) -> dict[str, str]:
    """appProtocol by the name of the port.

    Not among `content_of`: while gateways with and without TLS run side by side, as in an upgrade, they would write against
    each other without end.
    """
    return {str(item.get("name")): str(item.get("appProtocol") or "") for item in body.get("ports") or ()}


def _port(name: str, port: int, protocol: str) -> dict[str, Any]:
    said = {"appProtocol": protocol} if protocol else {}
    return {"name": name, "port": port, "protocol": "TCP", **said}


def content_of(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """The part of a slice that this gateway decides, comparable between what is there and what should be."""
    labels = (body.get("metadata") or {}).get("labels") or {}
    endpoints = sorted(
        (tuple(item.get("addresses") or ()), (item.get("conditions") or {}).get("ready"))
        for item in body.get("endpoints") or ()
    )
    ports = sorted((str(item.get("name")), item.get("port")) for item in body.get("ports") or ())
    return (
        labels.get("kubernetes.io/service-name"),
        labels.get("endpointslice.kubernetes.io/managed-by"),
        tuple(endpoints),
        tuple(ports),
    )
