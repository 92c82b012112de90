"""The promise: a model that goes to zero and back loses no call and answers the right numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.e2e.model import (
    GATEWAY,
    NAMESPACE,
    apply,
    delete,
    infer,
    live_pods,
    manifest,
    ripple,
    wait_condition,
    wait_no_pods,
)

from atheria_cli.demo.cluster import Cluster, wait_for
from atheria_server.models.qca.reference import evolve, fidelity
from atheria_server.models.qca.settings import QcaSettings
from atheria_server.models.qca.weights import load_law

CALLS = 200
FLIPS = 5
STEPS = 8
INFIDELITY = 1e-6


@pytest.fixture
def external(cluster: Cluster) -> Iterator[str]:
    """A model whose replicas a person scales (class external): flips are then exact, not waited for."""
    name = "flip"
    apply(cluster, manifest(name, scaling={"minReplicas": 0, "maxReplicas": 1, "class": "external"}))
    wait_condition(cluster, name, "Ready", status="True")
    yield name
    delete(cluster, name)


def test_200_calls_over_five_flips_1_0_1_all_answer_the_right_state(cluster: Cluster, external: str) -> None:
    law = load_law(QcaSettings())
    states = [ripple(seed, 32) for seed in range(8)]
    expected = [evolve(state, law, STEPS) for state in states]
    client = triton.InferenceServerClient(GATEWAY)
    stop_flipping = threading.Event()
    cold_seconds: list[float] = []

    def flip() -> int:
        flips = 0
        for _ in range(FLIPS):
            wait_for(
                f"a ready {external}",
                lambda: True if _ready(cluster, external) else None,
                timeout_seconds=120,
                describe=lambda: str(live_pods(cluster, external)),
            )
            cluster.kubectl("scale", "atheriamodel", external, "-n", NAMESPACE, "--replicas=0")
            flips += 1
            began = time.monotonic()
            infer(client, external, states[0], steps=STEPS)
            cold_seconds.append(time.monotonic() - began)
            if stop_flipping.is_set():
                break
        return flips

    def call(index: int) -> float:
        time.sleep(index * 0.25 % 50)  # spread the calls over the flips
        answer = infer(client, external, states[index % len(states)], steps=STEPS)
        return float(1 - fidelity(answer, expected[index % len(states)])[0])

    infer(client, external, states[0], steps=STEPS)
    with ThreadPoolExecutor(max_workers=CALLS + 1) as pool:
        flipper = pool.submit(flip)
        try:
            errors = list(pool.map(call, range(CALLS)))
        finally:
            stop_flipping.set()
        flips = flipper.result(timeout=300)
    client.close()
    assert len(errors) == CALLS
    assert max(errors) <= INFIDELITY
    assert flips == FLIPS


def _ready(cluster: Cluster, name: str) -> bool:
    return int(cluster.get("atheriamodel", name, NAMESPACE).get("status", {}).get("readyReplicas", 0)) > 0


def test_an_idle_model_goes_to_zero_by_itself_and_the_next_call_wakes_it(cluster: Cluster) -> None:
    name = "idle"
    apply(
        cluster,
        manifest(
            name, scaling={"minReplicas": 0, "maxReplicas": 1, "idleTimeout": "3s", "scaleDownDelay": "1s"}
        ),
    )
    try:
        client = triton.InferenceServerClient(GATEWAY)
        state = ripple(1, 16)
        wait_condition(cluster, name, "Ready", status="True")
        first = infer(client, name, state)
        wait_condition(cluster, name, "Ready", status="True", reason="ScaledToZero")
        wait_no_pods(cluster, name)
        second = infer(client, name, state)
        assert np.array_equal(first, second)
        assert live_pods(cluster, name)
        client.close()
    finally:
        delete(cluster, name)
