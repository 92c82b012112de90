"""Bodies and intents for the unit tests of the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.desired.pod_template import ServerDefaults

UID = "uid-1"


def model_body(**spec: Any) -> dict[str, Any]:
    """An AtheriaModel as the API server returns it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_KIND,
        "metadata": {
            "name": "qca",
            "namespace": "demo",
            "uid": UID,
            "generation": 3,
            "resourceVersion": "10",
        },
        "spec": {"model": {"source": "builtin://qca"}, **spec},
    }


@pytest.fixture
def body() -> Callable[..., dict[str, Any]]:
    """Makes bodies of AtheriaModels."""
    return model_body


@pytest.fixture
def intent() -> Callable[..., ModelIntent]:
    """Makes intents of AtheriaModels."""

    def make(**spec: Any) -> ModelIntent:
        found = parse_model(model_body(**spec))
        assert isinstance(found, ModelIntent), found
        return found

    return make


@pytest.fixture
def cpu() -> HardwareProfile:
    """The smallest profile."""
    return HardwareProfile(name="cpu", resources={"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}})


@pytest.fixture
def defaults() -> ServerDefaults:
    """What the operator was told."""
    return ServerDefaults(image="server:1")
