"""The laws as served, and a few small states; torch on one thread, as in the worker."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.settings import parse_settings
from atheria_server.models.qca.weights import load_law


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=["kerr", "nca", "unet", "euler"])
def law(request: pytest.FixtureRequest) -> Law:
    return load_law(parse_settings({"law": request.param}))


@pytest.fixture
def ripple() -> Tensor:
    return initial_state("vacuum_ripple", [3, 4], 8, 32, 32)
