"""What the worker's half hands to a compiled law: tensors that differ in nothing that would need another graph."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from atheria_server.models.contract import Batch
from atheria_server.models.qca import compute, observables
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


def _frames(inputs, **parameters):
    api = QcaApi({"law": "kerr"})
    api.setup("cpu")
    valid = api.validate(inputs, parameters, streaming=True)
    batch = Batch(inputs=valid.inputs, parameters=valid.parameters, rows=valid.rows)
    return list(api.stream_frames(batch))


SMALL = {"height": 16, "width": 8, "steps": 6, "every": 1, "noise": 0.3}
SEEDS = {"seed": np.array([5, 6], np.int64)}


def test_a_walk_in_parts_with_start_step_equals_the_walk_in_one_bit_for_bit():
    whole = _frames(SEEDS, **SMALL)
    middle = whole[3].outputs["state"]
    rest = _frames(SEEDS | {"state": middle}, steps=2, every=1, noise=0.3, start_step=4)
    assert [frame.parameters["step"] for frame in rest] == [5, 6]
    for found, expected in zip(rest, whole[4:], strict=True):
        assert np.array_equal(found.outputs["state"], expected.outputs["state"])
    again = _frames(SEEDS | {"state": middle}, steps=2, every=1, noise=0.3)
    assert not np.array_equal(again[0].outputs["state"], rest[0].outputs["state"])


def test_with_last_state_only_the_last_frame_has_the_state():
    frames = _frames(SEEDS, **SMALL, last_state=True)
    assert [frame.outputs["state"].shape for frame in frames] == [(0, 16, 16, 8)] * 5 + [(2, 16, 16, 8)]
    assert np.array_equal(frames[-1].outputs["state"], _frames(SEEDS, **SMALL)[-1].outputs["state"])


def test_a_picture_is_density_against_its_mean_and_phase_in_256_parts():
    assert "picture" not in _frames(SEEDS, **SMALL)[0].outputs
    outputs = _frames(SEEDS, **SMALL, picture=True)[-1].outputs
    rho, angle = outputs["density"].astype(np.float64), outputs["phase"].astype(np.float64)
    assert outputs["picture"].shape == (2, 2, 16, 8)
    assert outputs["picture"].dtype == np.uint8
    share = 255 * rho / (rho + rho.mean((1, 2), keepdims=True))
    assert np.abs(outputs["picture"][:, 0] - share).max() <= 0.501
    part = outputs["picture"][:, 1] * (2 * np.pi / 256)
    beyond = np.mod(angle - part, 2 * np.pi)
    assert np.all((beyond < 2 * np.pi / 256 + 1e-5) | (beyond > 2 * np.pi - 1e-5))


def test_a_picture_of_nothing_is_black_and_the_mean_density_is_half_the_scale():
    nothing = torch.zeros(1, 2, 2)
    assert observables.picture(nothing, nothing).tolist() == [[[[0, 0], [0, 0]], [[0, 0], [0, 0]]]]
    flat, turned = torch.full((1, 1, 2), 3.0), torch.tensor([[[-1e-9, math.pi]]])
    assert observables.picture(flat, turned).tolist() == [[[[128, 128]], [[255, 128]]]]
