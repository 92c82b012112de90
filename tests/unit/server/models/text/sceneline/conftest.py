"""The trained network and held-out scenes, once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from atheria_server.models.text.sceneline.held_out import JUDGED_SEED
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes
from atheria_server.models.text.sceneline.weights import load_network


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def network() -> SceneLine:
    """The one that ships."""
    return load_network()


@pytest.fixture(scope="session")
def scenes() -> Scenes:
    """64 of those that neither training nor the threshold has seen."""
    return make_scenes(JUDGED_SEED, 64)
