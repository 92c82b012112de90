"""The EndpointSlices that lead a model's Service to the gateway's pods. Every gateway pod computes the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_gateway.core.model import Model

MAX_ADDRESSES: Final = 1000
"""The API's bound on endpoints in one slice."""


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


def gateway_slice(model: Model, pods: Iterable[GatewayPod]) -> dict[str, Any] | None:
    """The EndpointSlice to apply for a model; None when what is there stays: no pod is known, or the model is going."""
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
            {
                "name": names.PORT_NAME_GRPC,
                "port": names.PORT_GRPC,
                "protocol": "TCP",
                "appProtocol": "kubernetes.io/h2c",
            },
            {"name": names.PORT_NAME_HTTP, "port": names.PORT_HTTP, "protocol": "TCP"},
        ],
    }


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
