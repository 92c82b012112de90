"""`euler`: the rule of the original Atheria, psi' = psi + delta(psi) - gamma psi, with ONE global normalisation.

For comparison only: it is not reversible, and the normalisation makes every cell depend on all others, so nothing
bounds the speed at which a change spreads. (The original normalises every cell, which makes the density constant.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from atheria_server.models.qca.laws import perceptron
from atheria_server.models.qca.laws.law import Law
from atheria_server.models.qca.step import density

GAMMA: Final = 0.01
"""Damping per step. It rescales delta against psi; the norm lost is given back by the normalisation."""


class EulerLaw(Law):
    """Fixed 3x3 perception and a perceptron that decides the change of the state itself."""

    def __init__(
        self,
        channels: int,
        *,
        hidden: int = perceptron.HIDDEN_DEFAULT,
        depth: int = perceptron.DEPTH_DEFAULT,
    ) -> None:
        """`depth` hidden layers of `hidden` units, SiLU between them; tensors named as those of `nca`."""
        super().__init__(channels)
        self.hidden, self.out = perceptron.layers(channels, hidden, depth)

    def step(self, state: Tensor) -> Tensor:
        """One Euler step, rescaled row by row to the norm that the row had."""
        delta = perceptron.theta(state, self.hidden, self.out, rows_alone=self.computes_rows_alone(state))
        after = state + delta - GAMMA * state
        tiny = torch.finfo(torch.float64).tiny
        scale = torch.sqrt(_norms(state) / _norms(after).clamp_min(tiny))
        return after * scale.to(state.dtype)[:, None, None, None]

    def sizes(self) -> Mapping[str, int]:
        """Units of a hidden layer, hidden layers."""
        return {"hidden": self.out.in_features, "depth": len(self.hidden)}

    def groups(self) -> Mapping[str, Sequence[str]]:
        """First hidden layer, the other hidden layers, output."""
        return perceptron.GROUPS


def _norms(state: Tensor) -> Tensor:
    """Row by row: a library's sum over a batch may choose its order by the batch's shape."""
    return torch.stack([row.double().sum() for row in density(state).unbind(0)])
