"""The demo without a cluster serves the live page, with the figures of its own model: its calls, and what they cost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

WAIT_SECONDS = 120.0
PRICED = """
apiVersion: atheria.dev/v1alpha1
kind: AtheriaModel
metadata: {name: qca}
spec:
  model: {source: "builtin://qca", parameters: {law: kerr}}
  scaling: {minReplicas: 0, maxReplicas: 1}
  warmup: {shapes: [[16, 64, 64]]}
---
apiVersion: atheria.dev/v1alpha1
kind: AtheriaHardwareProfile
metadata: {name: cpu}
spec:
  price: {usdPerHour: "0.5", source: "a page", date: "2026-05"}
"""
CALL = {
    "inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [7]}],
    "parameters": {"steps": 2, "height": 64, "width": 64},
}


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[str]:
    """The address of the gateway of a demo whose model is at zero."""
    with subprocess.Popen(
        [sys.executable, "-m", "atheria_local.standalone", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdin is not None
        assert demo.stdout is not None
        lines = demo.stdout
        try:
            address = f"http://127.0.0.1:{json.loads(lines.readline())['http']}"
            # It says how it is at each change, and waits where nobody reads.
            threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
            yield address
        finally:
            demo.stdin.close()
            demo.wait(WAIT_SECONDS)


def figures(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/live/fleet.json", timeout=WAIT_SECONDS) as answer:
        (model,) = json.load(answer)["models"]
    return dict(model)


def figures_or_none(address: str) -> dict[str, Any] | None:
    """None while the gateway cannot tell, which is asked by its Envoy."""
    try:
        return figures(address)
    except urllib.error.HTTPError:
        return None


def shows(address: str, what: str, look: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The model's figures as soon as they are so."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not ((model := figures_or_none(address)) and look(model)):
        assert time.monotonic() < deadline, f"waited {WAIT_SECONDS:g} s for {what}: {model}"
        time.sleep(0.1)
    return model


def test_the_page_and_the_figures_of_its_model_are_there() -> None:
    with running() as address:
        with urllib.request.urlopen(f"{address}/live/", timeout=WAIT_SECONDS) as answer:
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
        model = figures(address)
        assert (model["namespace"], model["name"], model["source"]) == ("demo", "qca", "builtin://qca")
        assert (model["runtime"], model["parameters"]) == ("atheria", {"law": "nca"})
        assert (model["phase"], model["asked"], model["ready"], model["pods"]) == ("ScaledToZero", 0, 0, 0)
        model = shows(address, "a word on the cost", lambda found: found["costUnknown"] is not None)
        assert (model["costUnknown"], model["costPer1000Usd"], model["costBasis"]) == ("no price", None, None)
        assert shows(address, "a queue", lambda found: found["queue"] is not None)["queue"] == 0


def test_the_queue_and_the_cost_of_a_call_are_shown_where_a_price_is_known(tmp_path: Path) -> None:
    manifest = tmp_path / "model.yaml"
    manifest.write_text(PRICED, encoding="utf-8")
    with running(str(manifest)) as address:
        # What a gateway counted before its first report is not known to the operator, which counts on from there.
        shows(address, "a first report", lambda found: found["queue"] == 0)
        shows(address, "a price", lambda found: found["costUnknown"] == "no call in this period")
        request = urllib.request.Request(
            f"{address}/v2/models/qca/infer",
            data=json.dumps(CALL).encode(),
            headers={"content-type": "application/json"},
        )
        answers: list[int] = []

        def call() -> None:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                answers.append(answer.status)

        caller = threading.Thread(target=call)
        caller.start()
        shows(address, "the held call in the queue", lambda found: found["queue"] == 1)
        caller.join(WAIT_SECONDS)
        assert answers == [200]
        model = shows(address, "what it cost", lambda found: found["costPer1000Usd"] is not None)
        assert model["costPer1000Usd"] > 0
        assert (model["costBasis"], model["costUnknown"]) == ("measured", None)
        shows(address, "an empty queue", lambda found: found["queue"] == 0)
