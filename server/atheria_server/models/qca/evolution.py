"""Many steps in a row: the loop that serving, training's report and the float64 reference share."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.noise import dephase


def evolve(
    state: Tensor,
    law: Law,
    steps: int,
    *,
    seeds: list[int] | None = None,
    sigmas: list[float] | None = None,
) -> Tensor:
    """The state [B, 2d, H, W] after `steps` steps (0 gives the state itself).

    `seeds` and `sigmas` (radians), one a row, add dephasing noise after each step; without them there is none.
    """
    for after in trajectory(state, law, steps, seeds=seeds, sigmas=sigmas):
        state = after
    return state


def trajectory(
    state: Tensor,
    law: Law,
    steps: int,
    *,
    seeds: list[int] | None = None,
    sigmas: list[float] | None = None,
    start_step: int = 0,
) -> Iterator[Tensor]:
    """The states after step 1, 2 ... `steps`, each a new tensor; nothing is computed before it is asked for.

    `start_step`: how many steps `state` has behind it, which noise depends on.
    """
    rows = state.shape[0]
    for step in range(start_step, start_step + steps):
        state = law.step(state)
        state = dephase(state, seeds or [0] * rows, sigmas or [0.0] * rows, step)
        yield state
