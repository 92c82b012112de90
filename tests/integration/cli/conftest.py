"""A real server, called by the command line without a gateway before it, and a real API server with the chart's definitions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import wait_established
from tests.integration.server.harness import Server


@pytest.fixture(scope="module")
def qca_address() -> Iterator[str]:
    with Server("builtin://qca", "--set", "law=kerr", "--warmup-shape", "16,16,16", name="qca") as server:
        yield str(server.grpc)


FILES = Path(__file__).parents[3] / "charts/atheria/files"


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """Shared: a test deletes the models that it makes, or names its own namespace."""
    with ControlPlane() as running:
        for folder in ("crds", "profiles"):
            done = subprocess.run(
                [*running.kubectl, "apply", "--server-side", "-f", str(FILES / folder)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            wait_established(running.kubectl)
        yield running
