"""The examples that a processor can serve, and that no tutorial has: each becomes Ready on the cluster and answers a call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import yaml

from atheria_cli.cluster import Cluster
from tests.e2e.model import GATEWAY, NAMESPACE, apply, delete, infer, ripple, wait_condition

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWER = {"qca-kerr": "qca-kerr", "qca-hierarchy": "qca-hierarchy", "hpa": "qca-hpa", "keda": "qca-keda"}
"""Folder to the model's name. Without KEDA and without external metrics, which the local cluster has not, a model is served all the same."""
ACCEPTED = {"token-streaming": "writer"}
"""Needs a GPU and weights of the reader's own."""

START_SECONDS = 240
"""Four start side by side, one of them is judged against fp32."""


def document(folder: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((EXAMPLES / folder / "model.yaml").read_text(encoding="utf-8"))
    body["metadata"]["namespace"] = NAMESPACE
    return body


@pytest.fixture
def applied(cluster: Cluster) -> Iterator[Cluster]:
    """All at once: they start side by side."""
    every = {**ANSWER, **ACCEPTED}
    try:
        for folder in every:
            apply(cluster, document(folder))
        yield cluster
    finally:
        for name in every.values():
            delete(cluster, name)


def test_the_examples_are_accepted_and_those_without_a_gpu_answer_a_call(applied: Cluster) -> None:
    for name in (*ANSWER.values(), *ACCEPTED.values()):
        wait_condition(applied, name, "Accepted", status="True", timeout_seconds=START_SECONDS)
    client = triton.InferenceServerClient(GATEWAY)
    state = ripple(3, 16)
    try:
        for name in ANSWER.values():
            wait_condition(applied, name, "Ready", status="True", timeout_seconds=START_SECONDS)
            answer = infer(client, name, state)
            assert answer.shape == state.shape
            assert np.isfinite(answer).all()
    finally:
        client.close()
