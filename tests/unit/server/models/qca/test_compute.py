"""What the worker's half hands to a compiled law: tensors that differ in nothing that would need another graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from atheria_server.models.contract import Batch
from atheria_server.models.qca import compute
from atheria_server.models.qca.api import QcaApi

SEED = {"seed": np.array([1], np.int64)}
STATE = {"state": np.ones((1, 16, 8, 8), np.float32)}


@pytest.mark.parametrize("inputs", [SEED, STATE], ids=["seed", "state"])
def test_every_state_given_to_a_compiled_law_is_contiguous_and_of_one_mode(inputs):
    api = QcaApi({"law": "kerr"})
    api.setup("cpu")
    size = {"height": 8, "width": 8} if inputs is SEED else {}
    valid = api.validate(inputs, {**size, "steps": 3, "every": 1}, streaming=True)
    seen: list[tuple[bool, bool]] = []

    def advance(state: Tensor, steps: int) -> Tensor:
        seen.append((state.is_inference(), state.is_contiguous()))
        return state + steps

    batch = Batch(inputs=valid.inputs, parameters=valid.parameters, rows=1)
    assert api.law is not None
    frames = list(compute.frames(api.law, "cpu", batch, 1, advance))
    assert len(frames) == 3
    assert seen == [(True, True)] * 3
    assert not torch.is_inference_mode_enabled()
