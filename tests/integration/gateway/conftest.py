"""Fixtures: short folders for unix sockets, a gateway with a real Envoy, a pod."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load(name: str, file: str) -> ModuleType:
    """Import a helper beside this file under importlib mode, once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


harness: Any = _load("gateway_harness", "harness.py")
_load("gateway_http2_pod", "http2_pod.py")
_load("gateway_real_cluster", "real_cluster.py")
_load("operator_harness", "../operator/harness.py")
_load("server_harness", "../server/harness.py")


@pytest.fixture
def run_directory() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name (108 characters in all)."""
    with tempfile.TemporaryDirectory(prefix="gw-") as name:
        yield Path(name)


@pytest.fixture
async def pod() -> AsyncIterator[Any]:
    """A running backend."""
    one = await harness.Pod().start()
    yield one
    await one.stop()


@pytest.fixture
async def gateway(run_directory: Path) -> AsyncIterator[Any]:
    """A gateway with model demo/qca at zero, its routes known to Envoy."""
    one = harness.Gateway(run_directory, hold_s=60.0)
    one.kube.put(harness.Watched.MODELS, harness.model_object(harness.QCA))
    await one.start_envoy()
    await one.start_activator()
    await one.wait_until_routed()
    yield one
    await one.stop()
