"""What a model's pod is told about its spans and its log, as OpenTelemetry's own variables: any server that knows them understands.

A pod follows the gateway, which decides which calls are recorded; so another sampling ratio makes no new revision. Whether spans are
made, where they go and how the log is written are part of a revision like the rest of its pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.desired.volumes import Mounted

TEXT: Final = "text"
ENV_REVISION: Final = "ATHERIA_REVISION"
_VOLUME: Final = "tracing"
_GROUP_MAY_READ: Final = 0o440


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Of all models' pods."""

    endpoint: str = ""
    """Of the collector, `http://HOST:PORT` or `https://HOST:PORT`; empty = pods make no spans."""
    protocol: str = "grpc"
    """`grpc` or `http/protobuf`."""
    secret_name: str = ""
    """Secret in each model's namespace with what the collector wants to see; empty = nothing. It may be missing."""
    log_format: str = TEXT
    """`text` or `json`."""


def telemetry_environment(key: ModelKey, telemetry: Telemetry) -> list[dict[str, Any]]:
    """Variables of the container; none where nothing is asked for."""
    found: list[dict[str, Any]] = []
    if telemetry.log_format != TEXT:
        found.append({"name": names.ENV_LOG_FORMAT, "value": telemetry.log_format})
    if not telemetry.endpoint:
        return found
    about = (
        f"k8s.namespace.name={key.namespace},k8s.pod.name=$({names.ENV_POD_NAME}),"
        f"atheria.model={key.namespace}/{key.name},atheria.revision=$({ENV_REVISION})"
    )
    found += [
        _field(names.ENV_POD_NAME, "metadata.name"),
        _field(ENV_REVISION, f"metadata.labels['{names.LABEL_REVISION}']"),
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": telemetry.endpoint},
        {"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": telemetry.protocol},
        {"name": "OTEL_TRACES_SAMPLER", "value": "parentbased_always_off"},
        {"name": "OTEL_SERVICE_NAME", "value": key.name},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": about},
    ]
    if telemetry.secret_name:
        found.append({"name": names.ENV_TRACING_SECRET, "value": names.TRACING_DIRECTORY})
    return found


def telemetry_volume(telemetry: Telemetry) -> Mounted | None:
    """The Secret's files, never variables; None where there is none."""
    if not (telemetry.endpoint and telemetry.secret_name):
        return None
    return Mounted(
        volume={
            "name": _VOLUME,
            # A namespace without it still runs its models: their spans are then refused by the collector.
            "secret": {
                "secretName": telemetry.secret_name,
                "optional": True,
                "defaultMode": _GROUP_MAY_READ,
            },
        },
        mount={"name": _VOLUME, "mountPath": names.TRACING_DIRECTORY, "readOnly": True},
    )


def rendered_telemetry(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Telemetry:
    """What a pod's spec and its container were rendered with: the reverse of the two functions above."""
    told = {one["name"]: str(one.get("value") or "") for one in container.get("env") or ()}
    log_format = told.get(names.ENV_LOG_FORMAT) or TEXT
    if ENV_REVISION not in told:
        # A collector that the user's own variables name is none of the operator's.
        return Telemetry(log_format=log_format)
    volumes = (one for one in pod.get("volumes") or () if one["name"] == _VOLUME)
    return Telemetry(
        endpoint=told.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        protocol=told.get("OTEL_EXPORTER_OTLP_PROTOCOL", ""),
        secret_name=next((str((one.get("secret") or {}).get("secretName") or "") for one in volumes), ""),
        log_format=log_format,
    )


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
