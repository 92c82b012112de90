"""Fixtures: a server of the gate model and one of qca, shared by the tests that do not end them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.server import harness


@pytest.fixture(scope="session")
def gate_server() -> Iterator[Any]:
    with harness.Server(harness.GATE_SOURCE, "--max-queue-depth", "16", "--max-latency", "10s") as server:
        yield server


@pytest.fixture(scope="session")
def qca_server() -> Iterator[Any]:
    with harness.Server(
        "builtin://qca", "--set", "law=kerr", "--warmup-shape", "16,16,16", name="qca"
    ) as server:
        yield server


@pytest.fixture(scope="session")
def mirror_server() -> Iterator[Any]:
    with harness.Server("python://mirror_api:MirrorLitAPI") as server:
        yield server


@pytest.fixture
def stub(gate_server: Any) -> Iterator[Any]:
    with gate_server.stub() as found:
        yield found


@pytest.fixture
def gate(tmp_path: Path) -> Any:
    return harness.Gate(tmp_path)
