"""The models that a run serves: what they are, and a request for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from atheria_contract.optimization import CacheConfig, PrecisionConfig
from atheria_contract.serving import ServingConfig
from atheria_server.optimize.evaluations import keep_evaluation
from bench.dashboards.network import WIDTH

PROFILE: Final = "priced-cpu"
PROFILE_BODY: Final[dict[str, Any]] = {
    "apiVersion": "atheria.dev/v1alpha1",
    "kind": "AtheriaHardwareProfile",
    "metadata": {"name": PROFILE},
    "spec": {
        "description": "A processor with a price, for what the dashboards say of money",
        "price": {"usdPerHour": "0.10", "source": "an example", "date": "2026-11-21"},
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}},
    },
}
_SCALING: Final = {
    "minReplicas": 0,
    "maxReplicas": 2,
    "initialReplicas": 0,
    "target": 8,
    "idleTimeout": "20s",
    "scaleDownDelay": "10s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model of the run."""

    name: str
    spec: Mapping[str, Any]
    input_name: str
    shape: tuple[int, ...]
    dtype: type[np.generic] = np.float32


NETWORK: Final = Served(
    name="network",
    spec={
        "model": {"source": "python://bench.dashboards.network:Network"},
        "hardware": {"profile": PROFILE},
        "precision": {"policy": "bf16"},
        "scaling": _SCALING,
    },
    input_name="x",
    shape=(1, WIDTH),
)
QCA: Final = Served(
    name="qca",
    spec={
        "model": {"source": "builtin://qca", "parameters": {"law": "nca"}},
        "hardware": {"profile": PROFILE},
        "precision": {"policy": "hierarchy"},
        "scaling": _SCALING,
    },
    input_name="state",
    shape=(1, 16, 64, 64),
)
WRITER: Final = Served(
    name="writer",
    spec={
        "model": {
            "source": "builtin://sceneline",
            "runtime": "text",
            "parameters": {
                "cache_bytes": "64Mi",
                "max_new_tokens": 4,
                "threads": 1,
            },
        },
        "kvCache": {"precision": "int8", "recentWindow": 32},
        "hardware": {"profile": PROFILE},
        "scaling": _SCALING,
    },
    input_name="image",
    shape=(1, 64, 64, 3),
    dtype=np.uint8,
)
BY_NAME: Final = {one.name: one for one in (NETWORK, QCA, WRITER)}
WORTH: Final = {"combinedSpeedUp": 1.5, "combinedSavedBytes": 263_168, "combinedLoss": 0.002}
"""What an evaluation may have said, an example: nothing is measured in a run."""


def values_for(model: Served) -> np.ndarray[Any, np.dtype[Any]]:
    """A valid input: ones, or for qca a flat state of the norm that it asks for."""
    values = np.ones(model.shape, model.dtype)
    side = model.shape[-1]
    return (values * side / np.linalg.norm(values)).astype(np.float32) if model is QCA else values


def keep_worth(model: Served, folder: str) -> dict[str, Any]:
    """The model's spec with the cache `folder` of its node, in which WORTH is kept as `atheria-server evaluate` does it."""
    cache = CacheConfig(directory=folder)
    given = model.spec["model"]
    config = ServingConfig(
        name=model.name,
        source=given["source"],
        parameters=dict(given.get("parameters") or {}),
        precision=PrecisionConfig(**model.spec.get("precision", {})),
        cache=cache,
    )
    keep_evaluation(config, WORTH)
    return {**model.spec, "cache": {"hostPath": {"path": folder}}}
