"""The law that is imitated, and the states that it is imitated on."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from atheria_server.models.qca.evolution import evolve, trajectory
from atheria_server.models.qca.initial import initial_state
from atheria_server.models.qca.laws import KerrLaw
from atheria_server.models.qca.settings import CHANNELS_DEFAULT, KAPPA_DEFAULT, THETA0_DEFAULT
from atheria_server.models.qca.signature import INITIAL_VACUUM_RIPPLE

TRAJECTORY_SEEDS: Final = range(100, 116)
TRAJECTORY_STEPS: Final = 40
ROWS_AT_ONCE: Final = 64


def teacher(channels: int = CHANNELS_DEFAULT) -> KerrLaw:
    """`kerr` with its default constants."""
    return KerrLaw(channels, kappa=KAPPA_DEFAULT, theta0=THETA0_DEFAULT)


def training_states(channels: int, side: int) -> Tensor:
    """States along the teacher's trajectories, [seeds * steps, 2d, side, side]."""
    start = initial_state(INITIAL_VACUUM_RIPPLE, TRAJECTORY_SEEDS, channels, side, side)
    with torch.no_grad():
        return torch.cat([start, *trajectory(start, teacher(channels), TRAJECTORY_STEPS - 1)])


def imitated(states: Tensor, steps: int) -> Tensor:
    """What the teacher makes of states [B, 2d, H, W] in `steps` steps."""
    law = teacher(states.shape[1] // 2)
    with torch.no_grad():
        return torch.cat([evolve(part, law, steps) for part in torch.split(states, ROWS_AT_ONCE)])
