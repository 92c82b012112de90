"""`kerr`: the analytic law, no weights. The teacher of `nca`, and the physics that is worth serving."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from atheria_server.models.qca.laws.law import CoinLaw
from atheria_server.models.qca.step import Angles, density


class KerrLaw(CoinLaw):
    """The analytic law: every channel turns by kappa times the smoothed density; mixing is the constant theta0."""

    def __init__(self, channels: int, *, kappa: float, theta0: float) -> None:
        """`kappa` in radians per step and unit of density, `theta0` in radians."""
        super().__init__(channels)
        self.kappa = kappa
        self.theta0 = theta0

    def angles(self, state: Tensor) -> Angles:
        """One phase for all channels of a cell, [B, 1, H, W]; one mixing angle for all, [1, d, 1, 1]."""
        around = functional.pad(density(state)[:, None], (1, 1, 1, 1), mode="circular")
        across = around[..., :-2] + around[..., 2:] + 2 * around[..., 1:-1]
        smooth = (across[..., :-2, :] + across[..., 2:, :] + 2 * across[..., 1:-1, :]) / 16
        mixing = torch.full((1, self.channels, 1, 1), self.theta0, dtype=state.dtype, device=state.device)
        return Angles(self.kappa * smooth, mixing)
