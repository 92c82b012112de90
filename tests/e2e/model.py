"""What the end-to-end tests do with models: apply, look, call. Bounded waits only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton

from atheria_cli.cluster import Cluster, wait_for
from atheria_cli.model import summary
from atheria_contract import names
from atheria_server.models.qca.initial import initial_state

NAMESPACE = "e2e"
GATEWAY = f"127.0.0.1:{names.PORT_GRPC}"


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    """An AtheriaModel of the built-in qca; `spec` parts override the defaults."""
    base: dict[str, Any] = {
        "model": {"source": "builtin://qca", "parameters": {"law": "nca"}},
        "hardware": {"profile": "cpu"},
        "batching": {"maxBatchSize": 8, "maxLatency": "50ms"},
        "scaling": {"minReplicas": 0, "maxReplicas": 1, "idleTimeout": "5m", "keepAlive": "idleTimeout"},
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**base, **spec},
    }


def apply(cluster: Cluster, document: Mapping[str, Any]) -> str:
    """kubectl apply; returns what it printed, raises ClusterError with its words."""
    return cluster.kubectl("apply", "-f", "-", stdin=json.dumps(document))


def delete(cluster: Cluster, name: str) -> None:
    """Delete the model and wait until it is gone: a finalizer that is stuck fails here."""
    cluster.kubectl(
        "delete",
        "atheriamodel",
        name,
        "-n",
        NAMESPACE,
        "--ignore-not-found",
        "--timeout=60s",
        timeout_seconds=90,
    )


def condition(cluster: Cluster, name: str, kind: str) -> dict[str, Any]:
    """The condition's dict, or an empty one when the operator has not set it yet."""
    return summary.condition(cluster.get("atheriamodel", name, NAMESPACE), kind)


def wait_condition(
    cluster: Cluster, name: str, kind: str, *, status: str, reason: str = "", timeout_seconds: float = 120
) -> dict[str, Any]:
    """Wait until condition `kind` has `status` (and `reason` if given) for the current generation."""
    last: dict[str, Any] = {}

    def look() -> dict[str, Any] | None:
        nonlocal last
        model = cluster.get("atheriamodel", name, NAMESPACE)
        last = summary.condition(model, kind)
        current = last.get("observedGeneration") == model["metadata"]["generation"]
        return (
            last if current and last.get("status") == status and reason in ("", last.get("reason")) else None
        )

    return wait_for(
        f"{kind}={status} {reason} of {name}",
        look,
        timeout_seconds=timeout_seconds,
        describe=lambda: str(last),
    )


def live_pods(cluster: Cluster, name: str) -> list[str]:
    """Names of the model's pods, those that are being deleted included."""
    return [pod["metadata"]["name"] for pod in cluster.pods(NAMESPACE, f"{names.LABEL_MODEL}={name}")]


def wait_no_pods(cluster: Cluster, name: str, timeout_seconds: float = 90) -> None:
    """Wait until the last pod is gone."""
    wait_for(
        f"no pod of {name}",
        lambda: True if not live_pods(cluster, name) else None,
        timeout_seconds=timeout_seconds,
        describe=lambda: str(live_pods(cluster, name)),
    )


def ripple(seed: int, size: int, rows: int = 1) -> npt.NDArray[np.float32]:
    """States [rows, 16, size, size] of consecutive seeds, made as the model makes them."""
    return np.asarray(initial_state("vacuum_ripple", range(seed, seed + rows), 8, size, size).numpy())


def headers(name: str) -> dict[str, str]:
    """The header that picks the model at the gateway."""
    return {names.HEADER_MODEL: names.model_key(NAMESPACE, name)}


def infer(
    client: triton.InferenceServerClient,
    name: str,
    state: npt.NDArray[np.float32],
    *,
    steps: int = 8,
    timeout_seconds: float = 120,
) -> npt.NDArray[np.float32]:
    """The state after `steps`, through the gateway."""
    tensor = triton.InferInput("state", list(state.shape), "FP32")
    tensor.set_data_from_numpy(state)
    answer = client.infer(
        name,
        [tensor],
        outputs=[triton.InferRequestedOutput("state")],
        parameters={"steps": steps},
        headers=headers(name),
        client_timeout=timeout_seconds,
    )
    return np.asarray(answer.as_numpy("state"))
