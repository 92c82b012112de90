"""Train the `nca` law to imitate `kerr`: `python -m atheria_server.models.qca.train --out FILE`.

Made the weights that ship with the package; under a minute on one core. The network learns the angles only through
the states they lead to: one step for the first half of the training, then four. The report compares both laws on
states that were not trained on.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from atheria_server.models.qca import weights
from atheria_server.models.qca.evolution import evolve, trajectory
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import KerrLaw, Law, NcaLaw
from atheria_server.models.qca.observables import metrics
from atheria_server.models.qca.reference import fidelity
from atheria_server.models.qca.settings import CHANNELS_DEFAULT, KAPPA_DEFAULT, THETA0_DEFAULT
from atheria_server.models.qca.signature import INITIAL_VACUUM_RIPPLE, METRICS

ITERATIONS: Final = 600
BATCH: Final = 8
LEARNING_RATE: Final = 3e-3
SIDE: Final = 32
TRAJECTORY_SEEDS: Final = range(100, 116)
TRAJECTORY_STEPS: Final = 40
LONG_HORIZON: Final = 4
HELD_OUT_SEEDS: Final = range(7, 11)
HELD_OUT_STEPS: Final = (1, 4, 8, 16, 32)
FIDELITY_LIMIT: Final = 0.999
"""Least mean fidelity after 8 steps on held-out states; below it nothing is written."""


def teacher() -> KerrLaw:
    """The law that is imitated, with its default constants."""
    return KerrLaw(CHANNELS_DEFAULT, kappa=KAPPA_DEFAULT, theta0=THETA0_DEFAULT)


def train(seed: int, iterations: int) -> NcaLaw:
    """A trained law; prints progress. Equal arguments give equal weights on one machine."""
    torch.manual_seed(seed)
    law, target = NcaLaw(CHANNELS_DEFAULT), teacher()
    optimizer = torch.optim.Adam(law.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    pool = training_states(target)
    for iteration in range(iterations):
        horizon = 1 if iteration < iterations // 2 else LONG_HORIZON
        start = pool[torch.randint(0, len(pool), (BATCH,))]
        with torch.no_grad():
            wanted = evolve(start, target, horizon)
        loss = (evolve(start, law, horizon) - wanted).square().sum() / (BATCH * SIDE * SIDE)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(law.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if iteration % 100 == 0 or iteration == iterations - 1:
            _say(f"iteration {iteration:4d}  horizon {horizon}  loss {loss.item():.2e}")
    return law.eval()


def training_states(target: Law) -> Tensor:
    """States along the teacher's trajectories, [seeds * steps, 2d, 32, 32]."""
    start = initial_state(INITIAL_VACUUM_RIPPLE, TRAJECTORY_SEEDS, CHANNELS_DEFAULT, SIDE, SIDE)
    with torch.no_grad():
        return torch.cat([start, *trajectory(start, target, TRAJECTORY_STEPS - 1)])


def held_out_report(law: Law, side: int) -> dict[int, tuple[float, float, float]]:
    """Steps -> (mean fidelity to the teacher, teacher's c4, the law's c4) on states that were not trained on."""
    start = initial_state(INITIAL_VACUUM_RIPPLE, HELD_OUT_SEEDS, CHANNELS_DEFAULT, side, side)
    column = METRICS.index("c4")
    rows = {}
    with torch.inference_mode():
        pairs = zip(
            trajectory(start, teacher(), max(HELD_OUT_STEPS)),
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


def main(arguments: list[str] | None = None) -> int:
    """Train, report, and write the file if the report is good enough; exit status 1 if it is not."""
    parser = argparse.ArgumentParser(prog="python -m atheria_server.models.qca.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the weights and the order of the states (default 0)"
    )
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help=f"default {ITERATIONS}")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    started = time.perf_counter()
    law = train(options.seed, options.iterations)
    _say(
        f"trained {sum(p.numel() for p in law.parameters())} parameters in {time.perf_counter() - started:.0f} s"
    )
    quality = math.nan
    for side in (SIDE, 2 * SIDE):
        _say(f"held-out {side} x {side}:  steps  fidelity  c4 kerr  c4 nca")
        for steps, (mean_fidelity, wanted_c4, got_c4) in held_out_report(law, side).items():
            _say(f"{steps:23d}  {mean_fidelity:8.5f}  {wanted_c4:7.4f}  {got_c4:6.4f}")
            if side == SIDE and steps == 8:
                quality = mean_fidelity
    if not quality >= FIDELITY_LIMIT:
        _say(f"fidelity after 8 steps is {quality:.5f}, the limit is {FIDELITY_LIMIT}; nothing written")
        return 1
    data = weights.dump_nca(law)
    options.out.write_bytes(data)
    _say(f"wrote {options.out}, {len(data)} bytes, {weights.digest_of(data)}")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
