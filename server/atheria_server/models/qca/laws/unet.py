"""`unet`: a convolutional law that sees further than `nca`: two halvings of the grid, skips, circular convolutions.

Commutes with shifts by multiples of 4 cells only (the two poolings), and a change spreads as far as the network sees
in one step. For models whose weights and arithmetic are large enough to be worth sharding, compiling or quantising.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from atheria_server.models.qca.laws.law import CoinLaw
from atheria_server.models.qca.step import Angles, density

HIDDEN_DEFAULT: Final = 32
HEAD_GAIN: Final = 0.5
"""Of the weights drawn at first: angles of about a tenth of a radian, which depend on the state."""


class UnetLaw(CoinLaw):
    """Widths c, 2c and 4c on the grid, its half and its quarter; about 427 c^2 parameters."""

    def __init__(self, channels: int, *, hidden: int = HIDDEN_DEFAULT) -> None:
        """`hidden` is c."""
        super().__init__(channels)
        if hidden < 1:
            raise ValueError(f"hidden is {hidden}; it must be at least 1")
        self.encoder = nn.ModuleDict(
            {"fine": _Pair(2 * channels + 1, hidden), "middle": _Pair(hidden, 2 * hidden)}
        )
        self.backbone = nn.ModuleDict(
            {
                "coarse": _Pair(2 * hidden, 4 * hidden),
                "to_middle": nn.Conv2d(4 * hidden, 2 * hidden, 1),
                "middle": _Pair(4 * hidden, 2 * hidden),
                "to_fine": nn.Conv2d(2 * hidden, hidden, 1),
                "fine": _Pair(2 * hidden, hidden),
            }
        )
        self.head = nn.Conv2d(hidden, 2 * channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                _draw(module)
        nn.init.normal_(self.head.weight, std=HEAD_GAIN / math.sqrt(hidden))

    def angles(self, state: Tensor) -> Angles:
        """alpha = pi theta[:d] and beta = pi/2 theta[d:], each [B, d, H, W], of the state's dtype.

        A compiled graph takes all rows at once: it would hold the whole network once for each row otherwise.
        """
        features = torch.cat([state, density(state)[:, None]], 1)
        if self.computes_rows_alone(state) and not torch.compiler.is_compiling():
            theta = torch.cat([self._theta(row) for row in torch.split(features, 1)])
        else:
            theta = self._theta(features)
        theta = theta.to(state.dtype)
        return Angles(math.pi * theta[:, : self.channels], math.pi / 2 * theta[:, self.channels :])

    def sizes(self) -> Mapping[str, int]:
        """Channels on the full grid."""
        return {"hidden": self.head.in_channels}

    def groups(self) -> Mapping[str, Sequence[str]]:
        """The way down, the way back up, the last 1x1 convolution."""
        return {"encoder": ("encoder.*",), "backbone": ("backbone.*",), "head": ("head",)}

    def _theta(self, features: Tensor) -> Tensor:
        fine = self.encoder["fine"](features)
        middle = self.encoder["middle"](functional.avg_pool2d(fine, 2))
        up = self.backbone["coarse"](functional.avg_pool2d(middle, 2))
        up = self.backbone["middle"](torch.cat([_doubled(self.backbone["to_middle"](up)), middle], 1))
        up = self.backbone["fine"](torch.cat([_doubled(self.backbone["to_fine"](up)), fine], 1))
        theta: Tensor = self.head(up)
        return theta


class _Pair(nn.Module):
    """Two circular 3x3 convolutions, each followed by SiLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, padding=1, padding_mode="circular")
        self.second = nn.Conv2d(outside, outside, 3, padding=1, padding_mode="circular")

    def forward(self, features: Tensor) -> Tensor:
        features = functional.silu(self.first(features))
        return functional.silu(self.second(features))


def _draw(convolution: nn.Conv2d) -> None:
    """He's rule: with torch's default, 11 layers of SiLU leave nothing of the state but 1e-3 radians."""
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    assert convolution.bias is not None  # noqa: S101
    nn.init.zeros_(convolution.bias)


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
