"""What a canary is judged by outlives the operator, and is its output as well as its calls."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import Gateway, eventually

CANARY = {
    "strategy": "canary",
    "steps": [10, 100],
    "stepDuration": "1s",
    "analysis": {"minCalls": 50, "maxErrorRatio": 0.1},
}
LOOKS_SECONDS = 8
"""Longer than some looks of the operator at a canary."""
STABLE, CANDIDATE = "127.77.1.1", "127.77.1.2"


def weights(space: Any) -> dict[str, int]:
    revisions = space.model().get("status", {}).get("revisions", [])
    return {one["name"]: one["weight"] for one in revisions if one["weight"]}


def counted(space: Any, revision: str) -> tuple[int, int] | None:
    """(calls, errors) of the step, as the status has them."""
    lines = (space.model()["status"].get("rollout") or {}).get("counted") or ()
    return next(((one["calls"], one["errors"]) for one in lines if one["revision"] == revision), None)


def serve(space: Any, address: str = "") -> str:
    space.apply_model(rollout=CANARY)
    revision = str(space.wait_active())
    make_ready(space, revision, address)
    space.wait_condition("Progressing", "False", "Complete")
    return revision


def change(space: Any, old: str, address: str = "") -> str:
    """A canary at its first step."""
    space.apply_model(batching={"maxBatchSize": 2}, rollout=CANARY)

    def another() -> str | None:
        found = [item["metadata"]["name"] for item in space.get("deployments")["items"]]
        return next((name for name in found if name != old), None)

    new = eventually("a Deployment of the new revision", another)
    make_ready(space, new, address)
    return new


def annotate(space: Any, text: str) -> None:
    space.kubectl("annotate", "am", "qca", text)


def make_ready(space: Any, revision: str, address: str) -> None:
    given = {"podIP": address, "podIPs": [{"ip": address}]} if address else {}
    for pod in space.wait_pods(revision):
        space.set_pod(pod["metadata"]["name"], ready=True, **given)


def test_the_calls_of_a_step_are_counted_on_after_the_operator_was_killed(space: Any, operator: Any) -> None:
    old = serve(space)
    new = change(space, old)
    eventually("the canary's share", lambda: weights(space) == {old: 90, new: 10})

    sent_seconds = 0.0

    def report(calls: int, errors: int) -> None:
        nonlocal sent_seconds
        sent_seconds = time.monotonic()
        gateway.report(
            "qca", space.name, in_flight=1, revisions={old: (calls, 0, 0.1), new: (calls, errors, 0.1)}
        )

    total = errors = 0

    def is_counted() -> bool:
        """Calls of the moment between the step's beginning and the operator's next look are not counted: send as many again. Together
        they are fewer than are needed to judge."""
        nonlocal total, errors
        if total == 0 or (total < 30 and time.monotonic() - sent_seconds > LOOKS_SECONDS):
            total, errors = total + 10, errors + 4
            report(total, errors)
        return counted(space, new) is not None

    gateway = Gateway(operator.demand_port, "gateway-restart")
    try:
        report(0, 0)
        eventually("the figures in the status", is_counted)
    finally:
        gateway.close()
    operator.kill()
    calls, failed = counted(space, new) or (0, 0)
    assert calls > 0
    assert failed * 10 == calls * 4
    operator.start()
    gateway = Gateway(operator.demand_port, "gateway-restart")
    try:
        # Calls count from the new operator's first look at the model, which this shows.
        annotate(space, f"{names.ANNOTATION_ROLLOUT}=paused")
        space.wait_condition("Progressing", "Unknown", "Paused")
        # The same gateway goes on with its totals: what the first operator has counted is not counted twice.
        report(total, errors)
        report(total + 10, errors)
        eventually("the figures go on", lambda: counted(space, new) == (calls + 10, failed))
        assert weights(space) == {old: 90, new: 10}
        annotate(space, f"{names.ANNOTATION_ROLLOUT}-")
        report(total + 60 - calls, errors + 12 - failed)
        message = space.wait_condition("Progressing", "False", "RolledBack")["message"]
    finally:
        gateway.close()
    assert "20.00% of 60 calls failed, 0.00% of 60" in message
    assert weights(space) == {old: 100}


@pytest.fixture
def pod_tells() -> Iterator[Callable[[str, float], None]]:
    """A pod's server on its own loopback address; it tells one measurement, an error of so much."""

    def start(address: str, error: float) -> None:
        measured = {"name": "C4_8", "value": error, "limit": 0.05, "better": "lower", "outcome": "passed"}
        quality = {"passed": True, "profile": "default", "reason": "Passed", "measurements": [measured]}
        body = json.dumps({"quality": quality}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == names.PATH_OPTIMIZATION else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = stack.enter_context(ThreadingHTTPServer((address, names.PORT_HTTP), Handler))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(server.shutdown)

    with ExitStack() as stack:
        yield start


def test_a_canary_whose_output_is_worse_is_given_up_with_the_numbers(
    space: Any, pod_tells: Callable[[str, float], None]
) -> None:
    pod_tells(STABLE, 0.01)
    # Served although its gate would refuse it, as with allowUnvalidated.
    pod_tells(CANDIDATE, 0.09)
    old = serve(space, STABLE)
    eventually("the stable revision's measurement", lambda: space.model()["status"].get("quality"))
    change(space, old, CANDIDATE)
    message = space.wait_condition("Progressing", "False", "RolledBack")["message"]
    assert "C4_8 is 0.09 against 0.01 of the stable revision (allowed is 0.05 worse)" in message
    assert "maxQualityLoss" in message
    assert weights(space) == {old: 100}
