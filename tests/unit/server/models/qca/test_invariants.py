"""The physics that every law must keep, with the bounds that the served model promises."""

from __future__ import annotations

import math

import pytest
import torch

from atheria_server.models.qca.evolution import evolve
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import KerrLaw, UnetLaw
from atheria_server.models.qca.noise import dephase, standard_normal
from atheria_server.models.qca.observables import metrics
from atheria_server.models.qca.reference import evolve as evolve_float64
from atheria_server.models.qca.reference import fidelity
from atheria_server.models.qca.settings import parse_settings
from atheria_server.models.qca.step import rotate_phase
from atheria_server.models.qca.weights import load_law

SIGMAS = [0.0, 0.1, 0.0, 0.3, 0.0, 0.0, 0.2, 0.0]


@pytest.fixture
def for_long(law, ripple):
    """unet takes a smaller grid: its steps cost ten times those of the others."""
    return initial_state("vacuum_ripple", [3, 4], 8, 16, 16) if isinstance(law, UnetLaw) else ripple


def test_the_norm_drifts_by_less_than_1e_5_over_128_steps(law, for_long):
    before, after = for_long.double().square().sum(), evolve(for_long, law, 128).double().square().sum()
    assert abs(after / before - 1) <= 1e-5


@pytest.mark.parametrize("rounded", [torch.bfloat16, torch.float16, "int8"])
@pytest.mark.parametrize("name", ["nca", "unet"])
def test_the_norm_drifts_by_less_than_1e_5_with_weights_of_any_precision(name, rounded, ripple):
    law = load_law(parse_settings({"law": name}))
    for weight in law.parameters():
        step = weight.abs().max().clamp_min(1e-12) / 127
        weight.copy_((weight / step).round() * step if rounded == "int8" else weight.to(rounded))
    before, after = ripple.double().square().sum(), evolve(ripple, law, 32).double().square().sum()
    assert abs(after / before - 1) <= 1e-5


def test_a_shifted_state_evolves_to_the_shifted_result(law, ripple):
    # The two poolings of unet give it a grid of 4 x 4 cells.
    shift = (4, -8) if isinstance(law, UnetLaw) else (5, -7)
    shifted = evolve(torch.roll(ripple, shift, (2, 3)), law, 8)
    assert (shifted - torch.roll(evolve(ripple, law, 8), shift, (2, 3))).abs().max() <= 1e-5


def test_unet_does_not_commute_with_a_shift_of_one_cell(ripple):
    law = load_law(parse_settings({"law": "unet"}))
    shifted = evolve(torch.roll(ripple, 1, 3), law, 8)
    assert (shifted - torch.roll(evolve(ripple, law, 8), 1, 3)).abs().max() > 1e-4


def reach(law, steps):
    """How far, in cells along either axis, a change of one cell is seen after `steps` steps."""
    state = initial_state("vacuum_ripple", [3], 8, 64, 64).double()
    law = law.double()
    changed = state.clone()
    changed[:, :, 32, 32] += 0.1
    difference = (evolve(changed, law, steps) - evolve(state, law, steps)).abs().amax((0, 1))
    rows, columns = torch.nonzero(difference > 0, as_tuple=True)
    return int(max((rows - 32).abs().max(), (columns - 32).abs().max()))


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("nca", [2, 4, 8]),
        # A turn of all channels of a cell alike leaves its density as it was: the second step of kerr gains only one.
        ("kerr", [2, 3, 7]),
    ],
)
def test_a_change_of_one_cell_spreads_by_two_cells_a_step(name, cells):
    assert [reach(load_law(parse_settings({"law": name})), steps) for steps in (1, 2, 4)] == cells


def test_in_one_step_of_unet_a_change_is_seen_as_far_as_the_network_sees_and_of_euler_everywhere():
    # unet: half of its field of view along its coarsest path, and one cell of transport.
    assert 2 < reach(load_law(parse_settings({"law": "unet"})), 1) <= 32 - 1
    assert reach(load_law(parse_settings({"law": "euler"})), 1) == 32


def test_kerr_commutes_with_a_global_phase(ripple):
    law = KerrLaw(8, kappa=0.5, theta0=math.pi / 4)

    def turned(state):
        return torch.cat(rotate_phase(state, torch.full((1, 1, 1, 1), 1.1)), 1)

    a, b = turned(evolve(ripple, law, 8)).numpy(), evolve(turned(ripple), law, 8).numpy()
    assert (1 - fidelity(a, b)).max() <= 1e-9


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 24), (32, 32)])
def test_a_batch_equals_its_single_rows_bit_for_bit(law, height, width):
    states = initial_state("vacuum_ripple", range(8), 8, height, width)
    singles = [evolve(states[i : i + 1].clone(), law, 4, seeds=[i], sigmas=[SIGMAS[i]]) for i in range(8)]
    for size in range(1, 9):
        together = evolve(states[:size].clone(), law, 4, seeds=list(range(size)), sigmas=SIGMAS[:size])
        assert torch.equal(together, torch.cat(singles[:size])), size


def test_rows_computed_together_differ_from_single_rows_by_rounding_only(law, ripple):
    alone = evolve(ripple, law, 8).numpy()
    law.rows_alone = False
    assert (1 - fidelity(evolve(ripple, law, 8).numpy(), alone)).max() <= 1e-6


@pytest.mark.parametrize(("kind", "loss"), [(torch.float16, 1e-7), (torch.bfloat16, 5e-6)])
def test_a_state_rounded_for_the_wire_keeps_its_fidelity_in_fp16_better_than_in_bf16(kind, loss, ripple):
    rounded = ripple.to(kind).float()
    assert loss / 10 < (1 - fidelity(rounded.numpy(), ripple.numpy())).max() <= loss


def test_euler_keeps_the_norm_of_each_row_and_forgets_the_structure(ripple):
    law = load_law(parse_settings({"law": "euler"}))
    start = ripple * torch.tensor([1.0, 3.0])[:, None, None, None]
    after = evolve(start, law, 32)
    assert metrics(after)[:, 4].tolist() == pytest.approx([1, 9], rel=1e-5)
    assert evolve(torch.zeros_like(start), law, 2).abs().max() == 0
    assert metrics(after)[0, 1] < 1e-3 * metrics(start)[0, 1]


def test_float32_stays_close_to_float64(law, for_long):
    served = evolve(for_long, law, 128).numpy()
    assert (1 - fidelity(served, evolve_float64(for_long.numpy(), law, 128))).max() <= 1e-6


def test_the_structure_of_kerr_forms_and_thermalises_as_published():
    state, passed = initial_state("vacuum_ripple", range(4), 8, 32, 32), 0
    law = load_law(parse_settings({"law": "kerr"}))
    for steps, published in [(0, 0.014), (8, 0.030), (16, 0.207), (32, 0.178), (128, 0.026)]:
        state, passed = evolve(state, law, steps - passed), steps
        # Another four seeds than the published ones: the spread between seeds is that large.
        assert metrics(state)[:, 1].mean() == pytest.approx(published, rel=0.35), steps


def test_structure_grows_under_kerr_and_not_without_it():
    start = initial_state("vacuum_ripple", range(4), 8, 32, 32)

    def c4(kappa):
        return metrics(evolve(start, KerrLaw(8, kappa=kappa, theta0=math.pi / 4), 16))[:, 1].mean()

    assert c4(0.5) > 5 * metrics(start)[:, 1].mean()
    assert c4(0.0) < 2 * metrics(start)[:, 1].mean()


def test_noise_lowers_the_coherence_of_two_cells_by_exp_of_minus_sigma_squared():
    sigma = 0.3
    angles = torch.stack([sigma * standard_normal(seed, 0, 32, 32) for seed in range(200)])
    factor = torch.cos(angles - torch.roll(angles, 1, 2)).mean()
    assert factor == pytest.approx(math.exp(-(sigma**2)), abs=3e-3)


def test_noise_depends_on_seed_and_step_and_not_on_the_place_in_the_batch(ripple):
    alone = dephase(ripple[1:], [7], [0.2], 3)
    assert torch.equal(dephase(ripple, [1, 7], [0.2, 0.2], 3)[1:], alone)
    assert not torch.equal(dephase(ripple[1:], [7], [0.2], 4), alone)
    assert not torch.equal(dephase(ripple[1:], [8], [0.2], 3), alone)


@pytest.mark.parametrize("kind", ["vacuum_ripple", "noise", "packet"])
def test_initial_states_have_mean_density_one_and_depend_on_the_seed_alone(kind):
    both = initial_state(kind, [1, 2], 8, 16, 24)
    assert both.shape == (2, 16, 16, 24)
    assert metrics(both)[:, 4].tolist() == pytest.approx([1, 1], abs=1e-6)
    assert torch.equal(both[1:], initial_state(kind, [2], 8, 16, 24))
    assert not torch.equal(both[0], both[1])
