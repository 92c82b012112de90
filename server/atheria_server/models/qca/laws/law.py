"""What every law is: a module whose `forward` is one step. Base classes only; the laws are beside this file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from atheria_server.models.qca.step import Angles, exact_step


class Law(nn.Module):
    """A rule that gives the next state; float32 for serving, `.double()` for the reference."""

    rows_alone = True
    """On the CPU, compute what may round differently for other batch sizes row by row, so that a batch equals its
    single rows bit for bit. False: all rows at once, as on other devices and in training; 1 - F stays below 1e-6."""

    def __init__(self, channels: int) -> None:
        """For states of `channels` complex channels, a multiple of 8."""
        super().__init__()
        if channels < 8 or channels % 8:
            raise ValueError(f"channels is {channels}; expected a multiple of 8, from 8")
        self.channels = channels
        self.origin = "analytic"
        """Where the weights are from, for logs and reports: `analytic`, a file, or `seed 0, untrained`."""

    @abstractmethod
    def step(self, state: Tensor) -> Tensor:
        """The state [B, 2d, H, W] one step later, as a new tensor; H and W are multiples of 4."""

    def forward(self, state: Tensor) -> Tensor:
        """The same as `step`, so that what wraps modules (sharding, compilation) sees it."""
        return self.step(state)

    def groups(self) -> Mapping[str, Sequence[str]]:
        """`encoder`, `backbone`, `head` -> patterns (fnmatch) of names of submodules with weights; {} without weights.

        A name belongs to the first group that matches it.
        """
        return {}

    def sizes(self) -> Mapping[str, int]:
        """The parameters of `settings` that a weights file decides: `hidden`, and `depth` where the law has it."""
        return {}

    def computes_rows_alone(self, state: Tensor) -> bool:
        """Whether this state's rows go through the network one by one."""
        return self.rows_alone and state.device.type == "cpu"


class CoinLaw(Law):
    """A law that only decides angles of the exact step: norm kept in any precision, speed of spreading bounded."""

    @abstractmethod
    def angles(self, state: Tensor) -> Angles:
        """Angles in radians for a state [B, 2d, H, W] of the law's dtype."""

    def step(self, state: Tensor) -> Tensor:
        """Phase, mixing and transport by the law's angles."""
        return exact_step(state, self.angles(state))
