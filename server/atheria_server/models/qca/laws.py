"""The laws: what turns a state into the angles of the next step. `kerr` is analytic, `nca` is a small network.

A law sees a cell and its eight neighbours, never the position, and treats each row of a batch by itself. The matrix
products run per row, so that their shapes, and with them their rounding, do not depend on the batch size; everything
else is elementwise. Built by `weights.load_law` and `train`.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from atheria_server.models.qca.step import Angles, density

CELLS_PER_CHUNK: Final = 4096
"""Cells whose features are held at once by `nca`: bounds memory, and stays in the cache."""
FILTERS: Final = 4
"""Fixed perception filters: identity, Sobel x / 8, Sobel y / 8, Laplacian / 16."""
HIDDEN_DEFAULT: Final = 64
DEPTH_DEFAULT: Final = 2


class Law(nn.Module):
    """A rule that gives the angles of one step; float32 for serving, `.double()` for the reference."""

    def __init__(self, channels: int) -> None:
        """For states of `channels` complex channels, a multiple of 8."""
        super().__init__()
        if channels < 8 or channels % 8:
            raise ValueError(f"channels is {channels}; expected a multiple of 8, from 8")
        self.channels = channels

    @abstractmethod
    def angles(self, state: Tensor) -> Angles:
        """Angles in radians for a state [B, 2d, H, W] of the law's dtype."""


class KerrLaw(Law):
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


class NcaLaw(Law):
    """The neural law: fixed 3x3 perception, then the same small perceptron at every cell."""

    def __init__(self, channels: int, *, hidden: int = HIDDEN_DEFAULT, depth: int = DEPTH_DEFAULT) -> None:
        """`depth` hidden layers of `hidden` units, SiLU between them."""
        super().__init__(channels)
        if hidden < 1 or depth < 1:
            raise ValueError(f"hidden is {hidden} and depth is {depth}; both must be at least 1")
        widths = [FILTERS * (2 * channels + 1)] + [hidden] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.out = nn.Linear(hidden, 2 * channels)

    def angles(self, state: Tensor) -> Angles:
        """alpha = pi theta[:d] and beta = pi/2 theta[d:], each [B, d, H, W]."""
        height, width = state.shape[-2:]
        phases: list[Tensor] = []
        mixings: list[Tensor] = []
        for chunk in torch.split(state, max(1, CELLS_PER_CHUNK // (height * width))):
            features = perceive(torch.cat([chunk, density(chunk)[:, None]], 1)).flatten(2)
            for row in features.unbind(0):
                theta = self._perceptron(row.t()).t()
                phases.append(theta[: self.channels])
                mixings.append(theta[self.channels :])
        shape = (-1, self.channels, height, width)
        return Angles(
            math.pi * torch.stack(phases).view(shape),
            math.pi / 2 * torch.stack(mixings).view(shape),
        )

    def _perceptron(self, cells: Tensor) -> Tensor:
        for layer in self.hidden:
            cells = functional.silu(layer(cells))
        theta: Tensor = self.out(cells)
        return theta


def perceive(features: Tensor) -> Tensor:
    """The four fixed 3x3 filters on a torus: [B, C, H, W] -> [B, 4C, H, W], filter by filter.

    Written as shifted sums: a convolution kernel may round differently at edges and for other batch sizes.
    """
    around = functional.pad(features, (1, 1, 1, 1), mode="circular")
    west, middle, east = around[..., :-2], around[..., 1:-1], around[..., 2:]
    across = east - west
    along = east + west + 2 * middle
    north, south = along[..., :-2, :], along[..., 2:, :]
    sobel_x = (across[..., :-2, :] + across[..., 2:, :] + 2 * across[..., 1:-1, :]) / 8
    sobel_y = (south - north) / 8
    laplacian = (north + south + 2 * along[..., 1:-1, :]) / 16 - features
    return torch.cat([features, sobel_x, sobel_y, laplacian], 1)
