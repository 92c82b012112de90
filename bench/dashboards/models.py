"""The models that a run serves: what they are, and a request for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

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
BY_NAME: Final = {one.name: one for one in (NETWORK, QCA)}


def values_for(model: Served) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A valid input: ones, or for qca a flat state of the norm that it asks for."""
    values = np.ones(model.shape, np.float32)
    side = model.shape[-1]
    return values if model is NETWORK else (values * side / np.linalg.norm(values)).astype(np.float32)
