"""The output `volume` of qca over the protocol: asked for by name and depth, and refused without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from tests.integration.server.harness import Server


@pytest.fixture(scope="module")
def volumes() -> Iterator[Any]:
    arguments = ("--set", "law=kerr", "--set", "volumes=true", "--warmup-shape", "16,16,16")
    with Server("builtin://qca", *arguments, name="qca") as server:
        yield server


def infer(server: Any, **parameters: Any) -> Any:
    body = {
        "inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [3]}],
        "parameters": {"height": 16, "width": 16, "steps": 2, **parameters},
        "outputs": [{"name": "volume"}, {"name": "density"}],
    }
    return requests.post(f"{server.http}/v2/models/qca/infer", json=body, timeout=60)


def test_a_volume_of_the_wanted_depth_comes_back_and_never_exceeds_the_density(volumes: Any) -> None:
    answer = infer(volumes, depth=4)
    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer.json()["outputs"]}
    assert outputs["volume"].shape == (1, 4, 16, 16)
    assert (outputs["volume"] >= 0).all()
    assert (outputs["volume"] <= outputs["density"][:, None]).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"depth": 129}, "parameter depth is 129; expected a whole number from 1 to 128"), ({}, "volume")],
)
def test_a_volume_that_cannot_be_made_is_refused(
    volumes: Any, parameters: dict[str, Any], words: str
) -> None:
    answer = infer(volumes, **parameters)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_the_metadata_tells_of_the_volume(volumes: Any) -> None:
    outputs = requests.get(f"{volumes.http}/v2/models/qca", timeout=60).json()["outputs"]
    assert {"name": "volume", "datatype": "FP32", "shape": [-1, -1, -1, -1]} in [
        {key: one[key] for key in ("name", "datatype", "shape")} for one in outputs
    ]
