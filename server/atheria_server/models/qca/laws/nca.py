"""`nca`: the neural law that was trained to imitate `kerr`; the default model, and the one that is quantised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from atheria_server.models.qca.laws import perceptron
from atheria_server.models.qca.laws.law import CoinLaw
from atheria_server.models.qca.step import Angles


class NcaLaw(CoinLaw):
    """The neural law: fixed 3x3 perception, then the same small perceptron at every cell decides the angles."""

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = perceptron.HIDDEN_DEFAULT,
        depth: int = perceptron.DEPTH_DEFAULT,
    ) -> None:
        """`depth` hidden layers of `hidden` units, SiLU between them."""
        super().__init__(channels)
        self.hidden, self.out = perceptron.layers(channels, hidden, depth)

    def angles(self, state: Tensor) -> Angles:
        """alpha = pi theta[:d] and beta = pi/2 theta[d:], each [B, d, H, W], of the state's dtype."""
        theta = perceptron.theta(state, self.hidden, self.out, rows_alone=self.computes_rows_alone(state))
        return Angles(math.pi * theta[:, : self.channels], math.pi / 2 * theta[:, self.channels :])

    def sizes(self) -> Mapping[str, int]:
        """Units of a hidden layer, hidden layers."""
        return {"hidden": self.out.in_features, "depth": len(self.hidden)}

    def groups(self) -> Mapping[str, Sequence[str]]:
        """First hidden layer, the other hidden layers, output."""
        return perceptron.GROUPS
