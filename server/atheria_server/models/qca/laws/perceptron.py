"""What `nca` and `euler` share: fixed 3x3 perception, then the same small perceptron at every cell.

It sees a cell and its eight neighbours, never the position. The layers are `nn.Linear` on [cells, features], so kernels
for quantised Linear layers apply.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from atheria_server.models.qca.step import density

CELLS_PER_CHUNK: Final = 4096
"""Cells whose features are held at once on the CPU: bounds memory, and stays in the cache."""
FILTERS: Final = 4
"""Fixed perception filters: identity, Sobel x / 8, Sobel y / 8, Laplacian / 16."""
HIDDEN_DEFAULT: Final = 64
DEPTH_DEFAULT: Final = 2

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "encoder": ("hidden.0",),
    "backbone": ("hidden.*",),
    "head": ("out",),
}


def layers(channels: int, hidden: int, depth: int) -> tuple[nn.ModuleList, nn.Linear]:
    """`depth` layers of `hidden` units, and the one that gives 2d values a cell."""
    if hidden < 1 or depth < 1:
        raise ValueError(f"hidden is {hidden} and depth is {depth}; both must be at least 1")
    widths = [FILTERS * (2 * channels + 1)] + [hidden] * depth
    return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths)), nn.Linear(
        hidden, 2 * channels
    )


def theta(state: Tensor, hidden: nn.ModuleList, out: nn.Module, *, rows_alone: bool) -> Tensor:
    """The network's 2d values at each cell, [B, 2d, H, W] of the state's dtype.

    With `rows_alone` the matrix products run per row, so that their shapes, and with them their rounding, do not depend
    on the batch size; everything else is elementwise.
    """
    if not rows_alone:
        cells = _features(state).permute(0, 2, 3, 1)
        return _perceptron(cells, hidden, out).permute(0, 3, 1, 2).to(state.dtype)
    height, width = state.shape[-2:]
    rows = [
        _perceptron(row.flatten(1).t(), hidden, out).t()
        for chunk in torch.split(state, max(1, CELLS_PER_CHUNK // (height * width)))
        for row in _features(chunk).unbind(0)
    ]
    return torch.stack(rows).view(state.shape[0], -1, height, width).to(state.dtype)


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


def _features(state: Tensor) -> Tensor:
    return perceive(torch.cat([state, density(state)[:, None]], 1))


def _perceptron(cells: Tensor, hidden: nn.ModuleList, out: nn.Module) -> Tensor:
    for layer in hidden:
        cells = functional.silu(layer(cells))
    values: Tensor = out(cells)
    return values
