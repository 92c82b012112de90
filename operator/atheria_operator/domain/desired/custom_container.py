"""What a container that is not ours gets instead of our server's part; called by `desired.pod_template`.

Image, command, arguments and variables are the user's, by spec.podTemplate; hardware, volumes, ports and rights are those of every
model's pod.
"""

from __future__ import annotations

from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import CustomServer, ModelIntent

_HUB_REVISION: Final = "main"
_HUB: Final = "hf://"


def custom_part(intent: ModelIntent, server: CustomServer) -> dict[str, Any]:
    """Variables and probes of the container; what spec.podTemplate says is merged over them."""
    variables = {
        **model_variables(intent.serving.source),
        names.ENV_DEVICES: str(intent.device_count),
    }
    return {
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        # As for our server: loading may take long, and one that cannot load ends by itself.
        "startupProbe": _probe(server.ready_path, period_seconds=1, failures=7200),
        "readinessProbe": _probe(server.ready_path, period_seconds=1, failures=5),
        "livenessProbe": _probe(server.live_path, period_seconds=10, failures=6),
    }


def custom_metadata(server: CustomServer) -> dict[str, Any]:
    """Labels and annotations by which the operator knows, of any revision's pod, what it may ask it."""
    metadata: dict[str, Any] = {"labels": {names.LABEL_RUNTIME: names.RUNTIME_CUSTOM}}
    if server.in_flight_metrics:
        metadata["annotations"] = {names.ANNOTATION_IN_FLIGHT_METRICS: ",".join(server.in_flight_metrics)}
    return metadata


def model_variables(source: str) -> dict[str, str]:
    """Where the container finds the model, by variable; Kubernetes puts `$(ATHERIA_MODEL)` into its arguments."""
    scheme, _, rest = source.partition("://")
    if scheme == "pvc":
        return {names.ENV_MODEL: f"{names.MODELS_DIRECTORY}/{rest}"}
    if scheme == "oci":
        path = rest.partition("#")[2].strip("/")
        return {names.ENV_MODEL: "/".join(part for part in (names.MODEL_IMAGE_DIRECTORY, path) if part)}
    if scheme == "file" or source.startswith(f"{_HUB}/"):
        return {names.ENV_MODEL: rest}
    if scheme == "hf":
        repository, _, revision = rest.partition("@")
        return {names.ENV_MODEL: repository, names.ENV_MODEL_REVISION: revision or _HUB_REVISION}
    return {names.ENV_MODEL: source}


def _probe(path: str, *, period_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": names.PORT_NAME_HTTP},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
