"""Regional compilation: of N blocks of equal structure one is compiled, and all are computed by what came of it.

For models with repeated blocks (transformer layers), in their `compile_with`. Imports torch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from atheria_server.models.optimizable import Compile
from atheria_server.optimize.compiling.errors import CompileError


def compile_blocks(blocks: Sequence[nn.Module], compiler: Compile, *, name: str) -> None:
    """Replace the `forward` of each block, in place: one graph for all of them and each layout of their inputs.

    The blocks must be equal but for their weights. Raises CompileError for one that is not.
    """
    if not blocks:
        return
    first = blocks[0]
    structure = _structure(first)
    for index, block in enumerate(blocks):
        if _structure(block) != structure:
            raise CompileError(
                f"block {index} of {name} differs from block 0 in its modules or in the shapes of its weights; "
                "give compile_blocks equal blocks only"
            )
    names = [name for name, _ in [*first.named_parameters(), *first.named_buffers()]]
    # Only its code is used: without memory for the weights, and without the `forward` that it is about to get.
    pattern_block = copy.deepcopy(first).to("meta")

    # The weights come as arguments, so that what is compiled is the same for every block.
    def run(count: int, *tensors: Any) -> Any:
        weights = dict(zip(names, tensors[:count], strict=True))
        return torch.func.functional_call(pattern_block, weights, tensors[count:])

    compiled = compiler(run, name=name)
    for block in blocks:
        block.forward = _of_block(block, compiled)


def _of_block(block: nn.Module, compiled: Any) -> Any:
    def forward(*args: Any) -> Any:
        weights = [*block.parameters(), *block.buffers()]
        return compiled(len(weights), *weights, *args)

    return forward


def _structure(block: nn.Module) -> tuple[str, tuple[Any, ...]]:
    return repr(block), tuple(
        (name, tuple(value.shape), value.dtype)
        for name, value in [*block.named_parameters(), *block.named_buffers()]
    )
