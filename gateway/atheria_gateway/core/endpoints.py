"""Which pods may take a model's calls, read from EndpointSlices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atheria_contract import names
from atheria_gateway.core.model import Model, ModelKey


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Endpoint:
    """One ready pod, with both of its ports."""

    address: str
    grpc_port: int = names.PORT_GRPC
    http_port: int = names.PORT_HTTP
    revision: str = ""
    """Name of its revision's Deployment."""
    has_tls: bool = False
    """Both ports speak TLS, and take calls only from who shows a certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSlice:
    """The ready pods of one EndpointSlice of a revision's headless Service."""

    namespace: str
    name: str
    model: ModelKey
    revision: str
    endpoints: tuple[Endpoint, ...]
    unready: tuple[Endpoint, ...] = ()
    """Pods that start, or sleep: the slice does not tell which."""


def pod_slice_from_object(body: Mapping[str, Any], *, has_certificate: bool = True) -> PodSlice:
    """Read an EndpointSlice; an endpoint counts when it is ready and not terminating (absent ready means ready).

    Without a certificate none counts that asks for one.
    """
    metadata = body["metadata"]
    labels = metadata.get("labels") or {}
    ports = {
        str(port.get("name") or ""): int(port["port"]) for port in body.get("ports") or () if port.get("port")
    }
    has_tls = any(port.get("appProtocol") == names.APP_PROTOCOL_TLS for port in body.get("ports") or ())
    namespace = str(metadata["namespace"])
    model = str(labels.get(names.LABEL_MODEL) or "")
    revision = str(labels.get(names.LABEL_REVISION) or "")
    found: list[Endpoint] = []
    unready: list[Endpoint] = []
    for endpoint in body.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        if conditions.get("terminating") or (has_tls and not has_certificate):
            continue
        (unready if conditions.get("ready") is False else found).extend(
            Endpoint(
                address=str(address),
                grpc_port=ports.get(names.PORT_NAME_GRPC, names.PORT_GRPC),
                http_port=ports.get(names.PORT_NAME_HTTP, names.PORT_HTTP),
                revision=f"{model}-{revision}" if revision else "",
                has_tls=has_tls,
            )
            for address in (endpoint.get("addresses") or ())[:1]
        )
    return PodSlice(
        namespace=namespace,
        name=str(metadata["name"]),
        model=ModelKey(namespace=namespace, name=model),
        revision=revision,
        endpoints=tuple(sorted(found)),
        unready=tuple(sorted(unready)),
    )


def endpoints_of(model: Model, slices: Iterable[PodSlice]) -> tuple[Endpoint, ...]:
    """The ready pods of the revisions that take calls; while they have none, those of any, so that no call waits for nothing."""
    return _of_those_that_serve(model, slices, lambda one: one.endpoints)


def unready_of(model: Model, slices: Iterable[PodSlice]) -> tuple[Endpoint, ...]:
    """In the same way the pods that start or sleep."""
    return _of_those_that_serve(model, slices, lambda one: one.unready)


def _of_those_that_serve(
    model: Model, slices: Iterable[PodSlice], chosen: Callable[[PodSlice], Iterable[Endpoint]]
) -> tuple[Endpoint, ...]:
    active: set[Endpoint] = set()
    others: set[Endpoint] = set()
    serving = {name for name, weight in model.weights.items() if weight > 0} or {model.active_revision}
    for one in slices:
        if one.model != model.key:
            continue
        is_serving = f"{model.key.name}-{one.revision}" in serving
        (active if is_serving else others).update(chosen(one))
    return tuple(sorted(active or others))
