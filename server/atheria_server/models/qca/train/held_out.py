"""How well a law imitates the teacher on states that it was not trained on."""

from __future__ import annotations

from typing import Final

import torch

from atheria_server.models.qca.evolution import evolve, trajectory
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.observables import metrics
from atheria_server.models.qca.reference import fidelity
from atheria_server.models.qca.signature import INITIAL_VACUUM_RIPPLE, METRICS
from atheria_server.models.qca.train.options import LONG_HORIZON
from atheria_server.models.qca.train.teacher import teacher

HELD_OUT_SEEDS: Final = range(7, 11)
HELD_OUT_STEPS: Final = (1, 4, 8, 16, 32)
GATE_STEPS: Final = 8
FIDELITY_LIMIT: Final = 0.999
"""Least mean fidelity after GATE_STEPS; below it no weights are written."""


def held_out_report(law: Law, side: int) -> dict[int, tuple[float, float, float]]:
    """Steps -> (mean fidelity to the teacher, teacher's c4, the law's c4). Runs on the CPU."""
    start = initial_state(INITIAL_VACUUM_RIPPLE, HELD_OUT_SEEDS, law.channels, side, side)
    column = METRICS.index("c4")
    rows = {}
    with torch.inference_mode():
        pairs = zip(
            trajectory(start, teacher(law.channels), max(HELD_OUT_STEPS)),
            trajectory(start, law, max(HELD_OUT_STEPS)),
            strict=True,
        )
        for step, (wanted, got) in enumerate(pairs, start=1):
            if step in HELD_OUT_STEPS:
                rows[step] = (
                    float(fidelity(wanted.numpy(), got.numpy()).mean()),
                    metrics(wanted)[:, column].mean().item(),
                    metrics(got)[:, column].mean().item(),
                )
    return rows


def held_out_fidelity(law: Law, side: int, steps: int = GATE_STEPS) -> float:
    """Mean fidelity to the teacher after `steps` steps. Runs on the CPU."""
    start = initial_state(INITIAL_VACUUM_RIPPLE, HELD_OUT_SEEDS, law.channels, side, side)
    with torch.inference_mode():
        wanted, got = evolve(start, teacher(law.channels), steps), evolve(start, law, steps)
    return float(fidelity(wanted.numpy(), got.numpy()).mean())


def held_out_loss(law: Law, side: int) -> float:
    """The training's objective at its longer horizon, on the held-out states. Runs on the CPU."""
    start = initial_state(INITIAL_VACUUM_RIPPLE, HELD_OUT_SEEDS, law.channels, side, side)
    with torch.inference_mode():
        wanted = evolve(start, teacher(law.channels), LONG_HORIZON)
        error = (evolve(start, law, LONG_HORIZON) - wanted).square().sum()
    return float(error) / (len(HELD_OUT_SEEDS) * side * side)
