"""Fixtures: short folders for unix sockets, a gateway with a real Envoy, a pod."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway import harness


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
