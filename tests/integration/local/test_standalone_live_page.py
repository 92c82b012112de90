"""The demo without a cluster serves the live page, with the figures of its own model."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.integration

WAIT_SECONDS = 60.0


@pytest.fixture
def address() -> Iterator[str]:
    """Of the gateway of a demo whose model is at zero."""
    with subprocess.Popen(
        [sys.executable, "-m", "atheria_local.standalone"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdin is not None
        assert demo.stdout is not None
        try:
            yield f"http://127.0.0.1:{json.loads(demo.stdout.readline())['http']}"
        finally:
            demo.stdin.close()
            demo.wait(WAIT_SECONDS)


def test_the_page_and_the_figures_of_its_model_are_there(address: str) -> None:
    with urllib.request.urlopen(f"{address}/live/", timeout=WAIT_SECONDS) as answer:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    with urllib.request.urlopen(f"{address}/live/fleet.json", timeout=WAIT_SECONDS) as answer:
        shown = json.load(answer)
    (model,) = shown["models"]
    assert (model["namespace"], model["name"], model["source"]) == ("demo", "qca", "builtin://qca")
    assert (model["runtime"], model["parameters"]) == ("atheria", {"law": "nca"})
    assert (model["phase"], model["asked"], model["ready"], model["pods"]) == ("ScaledToZero", 0, 0, 0)
