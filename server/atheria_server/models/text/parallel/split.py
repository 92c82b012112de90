"""A rank's part of a network: whole heads and a slice of each perceptron, summed over the ranks twice a block.

As Megatron-LM splits a transformer: the first Linear of a pair by its outputs, which needs nothing of the others, the second by
its inputs, whose partial sums one all-reduce adds up. Norms, embeddings and the last projection are whole in every rank.
Torch's own `parallelize_module` computes the same; its dispatch of every operation took longer than sceneline's arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from atheria_server.models.text.causal import CacheShape, CausalModel
from atheria_server.models.text.parallel.around import AroundModel
from atheria_server.models.text.sceneline.network import SceneLine

Axis = Literal["outputs", "inputs"]
PLAN: Final[Mapping[str, Axis]] = {
    "query": "outputs",
    "key": "outputs",
    "value": "outputs",
    "mix": "inputs",
    "up": "outputs",
    "down": "inputs",
}
"""How the Linear layers of a block are split, by name."""


class SplitError(ValueError):
    """The network cannot be divided among so many ranks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those that compute together."""

    rank: int
    count: int
    group: dist.ProcessGroup
    """Of a pass's sums; its time limit finds a rank that hangs."""
    orders: dist.ProcessGroup
    """Of what the lead tells: without a short limit, as the next pass may be hours away."""

    @property
    def is_lead(self) -> bool:
        """It has the generator."""
        return self.rank == 0


class PartOfOutputs(nn.Module):
    """The rank's share of a Linear's outputs, of whole inputs."""

    def __init__(self, whole: nn.Linear, ranks: Ranks) -> None:
        super().__init__()
        self.weight = _part(whole.weight, 0, ranks)
        self.bias = None if whole.bias is None else _part(whole.bias, 0, ranks)

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs / ranks]."""
        return F.linear(inputs, self.weight, self.bias)


class PartOfInputs(nn.Module):
    """A Linear's outputs of the rank's share of its inputs, summed over the ranks; the bias is added once."""

    def __init__(self, whole: nn.Linear, ranks: Ranks) -> None:
        super().__init__()
        self.weight = _part(whole.weight, 1, ranks)
        self.bias = whole.bias
        self._group = ranks.group

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs / ranks] -> [..., outputs], equal in all ranks. RuntimeError when one of them is gone."""
        total = F.linear(inputs, self.weight)
        dist.all_reduce(total, group=self._group)
        return total if self.bias is None else total + self.bias


class SplitModel(AroundModel):
    """A rank's `CausalModel`: its cache holds only the rank's key and value heads."""

    def __init__(self, network: CausalModel, ranks: Ranks) -> None:
        """`network` was split for `ranks`."""
        super().__init__(network)
        self._ranks = ranks

    @property
    def cache_shape(self) -> CacheShape:
        """Of one token in this rank."""
        whole = self._network.cache_shape
        return replace(whole, kv_heads=whole.kv_heads // self._ranks.count)


def split_network(network: SceneLine, ranks: Ranks) -> SplitModel:
    """The rank's part of `network`, whose blocks are changed in place so that the other parts are freed. Raises SplitError."""
    sizes = network.sizes
    for name, count in (("heads", sizes.heads), ("kv_heads", sizes.kv_heads), ("width", sizes.width)):
        if count % ranks.count:
            raise SplitError(
                f"{name} is {count}, which {ranks.count} ranks cannot share equally: use a number that divides it"
            )
    for block in network.blocks:
        for name, axis in PLAN.items():
            whole = block.get_submodule(name)
            if not isinstance(whole, nn.Linear):
                raise SplitError(
                    f"{name} is a {type(whole).__name__}: split the network before it is quantised"
                )
            part = PartOfOutputs(whole, ranks) if axis == "outputs" else PartOfInputs(whole, ranks)
            block.set_submodule(name, part)
    return SplitModel(network, ranks)


def _part(whole: Tensor, dimension: int, ranks: Ranks) -> nn.Parameter:
    """A copy, so that the whole can be freed."""
    part = whole.detach().chunk(ranks.count, dimension)[ranks.rank]
    return nn.Parameter(part.clone(memory_format=torch.contiguous_format), requires_grad=False)
