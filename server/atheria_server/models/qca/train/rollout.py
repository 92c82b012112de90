"""The differentiable part of an iteration: a law run for a few steps, as one module that can be sharded, and its loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from atheria_server.models.qca.laws import Law
from atheria_server.models.qca.train.options import Loss, TrainingOptions


class Rollout(nn.Module):
    """`forward(state, steps)`: the state after `steps` steps of the law."""

    def __init__(self, law: Law, options: TrainingOptions) -> None:
        """Compilation happens at the first call."""
        super().__init__()
        self.law = law
        self._amp = options.amp
        self._recompute = options.gradient_checkpointing
        self._step: Callable[[Tensor], Tensor] = (
            torch.compile(law.step, fullgraph=True, dynamic=False) if options.compiled else law.step
        )

    def forward(self, state: Tensor, steps: int) -> Tensor:
        """[B, 2d, H, W] -> the same shape."""
        with torch.autocast(state.device.type, torch.bfloat16, enabled=self._amp):
            for _ in range(steps):
                if self._recompute:
                    state = checkpoint(self._step, state, use_reentrant=False, preserve_rng_state=False)
                else:
                    state = self._step(state)
        return state


def squared_error(rollout: nn.Module, states: Tensor, wanted: Tensor, steps: int, loss: Loss) -> Tensor:
    """Sum over all rows and entries; `looped` makes it row by row."""
    if loss == "looped":
        rows = zip(torch.split(states, 1), torch.split(wanted, 1), strict=True)
        return torch.stack([(rollout(a, steps) - b).square().sum() for a, b in rows]).sum()
    error: Tensor = (rollout(states, steps) - wanted).square().sum()
    return error
