"""The physics that every law must keep, with the bounds that the served model promises."""

from __future__ import annotations

import math

import pytest
import torch

from atheria_server.models.qca.evolution import evolve
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import KerrLaw
from atheria_server.models.qca.noise import dephase, standard_normal
from atheria_server.models.qca.observables import metrics
from atheria_server.models.qca.reference import evolve as evolve_float64
from atheria_server.models.qca.reference import fidelity
from atheria_server.models.qca.step import rotate_phase

SIGMAS = [0.0, 0.1, 0.0, 0.3, 0.0, 0.0, 0.2, 0.0]


def test_the_norm_drifts_by_less_than_1e_5_over_128_steps(law, ripple):
    before, after = ripple.double().square().sum(), evolve(ripple, law, 128).double().square().sum()
    assert abs(after / before - 1) <= 1e-5


def test_a_shifted_state_evolves_to_the_shifted_result(law, ripple):
    shifted = evolve(torch.roll(ripple, (5, -7), (2, 3)), law, 8)
    assert (shifted - torch.roll(evolve(ripple, law, 8), (5, -7), (2, 3))).abs().max() <= 1e-5


def test_a_change_of_one_cell_spreads_by_exactly_two_cells_a_step(law, ripple):
    changed = ripple.clone()
    changed[:, :, 16, 16] += 0.1
    difference = (evolve(changed, law, 1) - evolve(ripple, law, 1)).abs().amax((0, 1))
    rows, columns = torch.nonzero(difference > 1e-7, as_tuple=True)
    assert max((rows - 16).abs().max(), (columns - 16).abs().max()) == 2


def test_kerr_commutes_with_a_global_phase(ripple):
    law = KerrLaw(8, kappa=0.5, theta0=math.pi / 4)

    def turned(state):
        return torch.cat(rotate_phase(state, torch.full((1, 1, 1, 1), 1.1)), 1)

    a, b = turned(evolve(ripple, law, 8)).numpy(), evolve(turned(ripple), law, 8).numpy()
    assert (1 - fidelity(a, b)).max() <= 1e-9


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 24), (32, 32), (64, 64)])
def test_a_batch_equals_its_single_rows_bit_for_bit(law, height, width):
    states = initial_state("vacuum_ripple", range(8), 8, height, width)
    singles = [evolve(states[i : i + 1].clone(), law, 4, seeds=[i], sigmas=[SIGMAS[i]]) for i in range(8)]
    for size in range(1, 9):
        together = evolve(states[:size].clone(), law, 4, seeds=list(range(size)), sigmas=SIGMAS[:size])
        assert torch.equal(together, torch.cat(singles[:size])), size


def test_float32_stays_close_to_float64(law, ripple):
    served = evolve(ripple, law, 128).numpy()
    assert (1 - fidelity(served, evolve_float64(ripple.numpy(), law, 128))).max() <= 1e-6


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
