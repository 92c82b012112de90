"""The promise: a model that goes to zero and back loses no call and answers the right numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton

from atheria_cli.cluster import Cluster, wait_for
from atheria_server.models.qca.reference import evolve, fidelity
from atheria_server.models.qca.settings import QcaSettings
from atheria_server.models.qca.weights import load_law
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
    has_failed = threading.Event()
    flips = [threading.Event() for _ in range(FLIPS)]

    def flip() -> None:
        try:
            for begun in flips:
                wait_for(
                    f"a ready {external}",
                    lambda: True if _ready(cluster, external) else None,
                    timeout_seconds=120,
                    describe=lambda: str(live_pods(cluster, external)),
                )
                cluster.kubectl("scale", "atheriamodel", external, "-n", NAMESPACE, "--replicas=0")
                begun.set()
                infer(client, external, states[0], steps=STEPS)
                if has_failed.is_set():
                    break
        finally:
            for begun in flips:
                begun.set()

    def call(index: int) -> float:
        # A fifth of them from each flip on, over ten seconds.
        assert flips[index % FLIPS].wait(1200)
        time.sleep(index // FLIPS * 0.25)
        answer = infer(client, external, states[index % len(states)], steps=STEPS)
        return float(1 - fidelity(answer, expected[index % len(states)])[0])

    infer(client, external, states[0], steps=STEPS)
    with ThreadPoolExecutor(max_workers=CALLS + 1) as pool:
        flipper = pool.submit(flip)
        try:
            errors = list(pool.map(call, range(CALLS)))
        except BaseException:
            has_failed.set()
            raise
        flipper.result(timeout=300)
    client.close()
    assert len(errors) == CALLS
    assert max(errors) <= INFIDELITY


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
        inside = wait_for(
            "the seconds of the server's start",
            lambda: (cluster.get("atheriamodel", name, NAMESPACE)["status"].get("coldStart") or {}).get(
                "server"
            ),
            timeout_seconds=60,
            describe=lambda: str(cluster.get("atheriamodel", name, NAMESPACE)["status"].get("coldStart")),
        )
        assert inside["importSeconds"] > 0
        assert {"loadSeconds", "warmupSeconds"} <= inside.keys()
    finally:
        delete(cluster, name)


class Callers:
    """Callers that call a model without pause until they are told to stop."""

    def __init__(self, name: str, count: int = 4) -> None:
        self._name = name
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=count)
        self._results = [self._pool.submit(self._call, seed) for seed in range(count)]
        self.answered = 0

    def _call(self, seed: int) -> int:
        client = triton.InferenceServerClient(GATEWAY)
        state = ripple(seed, 16)
        expected = infer(client, self._name, state).tobytes()
        calls = 0
        while not self._stop.is_set():
            assert infer(client, self._name, state).tobytes() == expected
            calls += 1
            self.answered += 1
        client.close()
        return calls

    def stop(self) -> int:
        """Calls answered; raises the first error that a caller got."""
        self._stop.set()
        total = sum(result.result(timeout=120) for result in self._results)
        self._pool.shutdown()
        return total

    def wait_for_calls(self, count: int) -> None:
        """Until so many more calls were answered."""
        goal = self.answered + count
        wait_for(
            f"{count} more calls",
            lambda: True if self.answered >= goal or self._failed() else None,
            timeout_seconds=120,
            describe=lambda: f"{self.answered} of {goal}",
        )

    def _failed(self) -> bool:
        return any(result.done() for result in self._results)


def test_no_call_fails_while_a_changed_spec_rolls_out_and_while_a_pod_is_deleted(cluster: Cluster) -> None:
    name = "rolling"
    scaling = {"minReplicas": 1, "maxReplicas": 1}
    apply(cluster, manifest(name, scaling=scaling))
    try:
        wait_condition(cluster, name, "Ready", status="True")
        first = cluster.get("atheriamodel", name, NAMESPACE)["status"]["activeRevision"]
        callers = Callers(name)
        try:
            callers.wait_for_calls(20)
            apply(
                cluster, manifest(name, scaling=scaling, batching={"maxBatchSize": 4, "maxLatency": "10ms"})
            )
            wait_condition(cluster, name, "Ready", status="True", timeout_seconds=180)
            second = cluster.get("atheriamodel", name, NAMESPACE)["status"]["activeRevision"]
            assert second != first
            wait_for(
                f"the end of {first}",
                lambda: (
                    True if not [pod for pod in live_pods(cluster, name) if pod.startswith(first)] else None
                ),
                timeout_seconds=120,
                describe=lambda: str(live_pods(cluster, name)),
            )
            callers.wait_for_calls(20)

            (pod,) = live_pods(cluster, name)
            cluster.kubectl("delete", "pod", pod, "-n", NAMESPACE, "--wait=false")
            wait_for(
                "a ready successor",
                lambda: True if _ready(cluster, name) and pod not in live_pods(cluster, name) else None,
                timeout_seconds=120,
                describe=lambda: str(live_pods(cluster, name)),
            )
            callers.wait_for_calls(20)
        finally:
            answered = callers.stop()
        assert answered >= 60
    finally:
        delete(cluster, name)
