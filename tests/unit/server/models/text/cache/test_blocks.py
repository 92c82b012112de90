"""Blocks keep what is in them, also where there is no memory to make the pool larger or smaller."""

from __future__ import annotations

import random

import pytest
import torch

from atheria_server.models.text.cache.blocks import Block, BlockPool, Plane

LAYERS = 3
PLANES = [Plane(name=name, tail=(4, 2), dtype=torch.float32) for name in ("keys", "values")]


class ShortPool(BlockPool):
    """Of a device that gives `tensors_left` more tensors."""

    tensors_left = 1 << 30

    def _zeros(self, plane: Plane, blocks: int, device: torch.device) -> torch.Tensor:
        if not self.tensors_left:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.tensors_left -= 1
        return super()._zeros(plane, blocks, device)


def pool_of(blocks: int) -> ShortPool:
    pool = ShortPool(PLANES, layers=LAYERS, kv_heads=2, device="cpu")
    pool.resize(blocks)
    return pool


@torch.inference_mode()
def write(pool: BlockPool, block: Block, value: float) -> None:
    for layer, tensors in enumerate(pool.layers):
        for name, tensor in tensors.items():
            tensor[block.index] = value + layer / 10 + (name == "values") / 100


def assert_has(pool: BlockPool, block: Block, value: float) -> None:
    for layer, tensors in enumerate(pool.layers):
        for name, tensor in tensors.items():
            expected = torch.full_like(tensor[block.index], value + layer / 10 + (name == "values") / 100)
            assert torch.equal(tensor[block.index], expected)


@pytest.mark.parametrize("tensors", range(2 * LAYERS))
@pytest.mark.parametrize("count", [3, 16])
def test_a_resize_without_memory_loses_no_block_and_can_be_done_again(tensors: int, count: int) -> None:
    pool = pool_of(8)
    blocks = [pool.take() for _ in range(8)]
    for block in blocks[:5]:
        pool.give_back(block)
    held = dict(enumerate(blocks[5:]))
    for value, block in held.items():
        write(pool, block, value)
    pool.tensors_left = tensors
    with pytest.raises(torch.OutOfMemoryError):
        pool.resize(count)
    for value, block in held.items():
        assert_has(pool, block, value)
    pool.tensors_left = 1 << 30
    pool.resize(count)
    assert pool.allocated_bytes == count * pool.block_bytes
    for value, block in held.items():
        assert_has(pool, block, value)
    more = [pool.take() for _ in range(count - len(held))]
    assert sorted(block.index for block in [*held.values(), *more]) == list(range(count))


def test_blocks_keep_what_is_in_them_through_any_resizes_and_failures() -> None:
    chance = random.Random(0)  # noqa: S311
    pool = pool_of(4)
    held: dict[int, Block] = {}
    failures = 0
    for step in range(300):
        pool.tensors_left = chance.choice((0, 1, 3, 5, 1 << 30))
        try:
            pool.resize(chance.randrange(pool.used, pool.used + 9))
        except torch.OutOfMemoryError:
            failures += 1
        for value in range(10 * step, 10 * step + chance.randrange(10)):
            if pool.used < pool.count:
                held[value] = pool.take()
                write(pool, held[value], value)
        for value in chance.sample(sorted(held), len(held) * 2 // 5):
            pool.give_back(held.pop(value))
        for value, block in held.items():
            assert_has(pool, block, value)
    assert failures > 30
