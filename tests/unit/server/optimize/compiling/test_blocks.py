"""Of N equal blocks one is compiled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from atheria_server.optimize.compiling import BucketCompiler, CompileError, compile_blocks

BLOCKS = 6


class Block(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.layer(self.norm(x)))


def run(blocks: nn.ModuleList, x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x


def test_equal_blocks_share_one_graph_and_keep_their_own_weights(
    traced: Callable[..., BucketCompiler],
) -> None:
    blocks = nn.ModuleList(Block() for _ in range(BLOCKS)).requires_grad_(False)
    x = torch.randn(3, 4)
    expected = run(blocks, x)
    compiler = traced()
    compile_blocks(blocks, compiler, name="block")
    assert torch.allclose(run(blocks, x), expected, atol=1e-6)
    compiler.freeze()
    with torch.no_grad():
        blocks[2].layer.weight.zero_()
        blocks[2].layer.bias.zero_()
    assert not torch.allclose(run(blocks, x), expected, atol=1e-3)
    found = compiler.statistics()
    assert (found.graphs, found.recompiles, found.eager_fallbacks) == (1, 0, 0)


def test_the_whole_module_would_take_a_graph_that_grows_with_its_blocks(
    traced: Callable[..., BucketCompiler],
) -> None:
    """What regional compilation saves: the same blocks, each compiled for itself."""
    compiler = traced()
    blocks = [Block() for _ in range(BLOCKS)]
    x = torch.randn(3, 4)
    for index, block in enumerate(blocks):
        x = compiler(block.forward, name=f"block{index}")(x)
    assert compiler.statistics().graphs == BLOCKS


def test_a_block_of_another_structure_is_named(traced: Callable[..., BucketCompiler]) -> None:
    with pytest.raises(CompileError, match="block 1 of layers differs from block 0"):
        compile_blocks([Block(4), Block(5)], traced(), name="layers")
