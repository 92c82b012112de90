"""Fixtures: a server of the gate model and one of qca, shared by the tests that do not end them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load(name: str, file: str) -> ModuleType:
    """Import a helper beside this file under importlib mode, once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(file))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


harness: Any = _load("server_harness", "harness.py")
_load("client_environments", "client_environments.py")


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
