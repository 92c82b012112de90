"""Blocks of equal size in a few large tensors: taken, shared by reference counts, given back, moved when the pool shrinks.

The only place where a cache allocates what it keeps, so that its bytes can be counted. Used by `pool.CachePool`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One tensor [blocks, kv_heads, *tail] of each layer."""

    name: str
    tail: tuple[int, ...]
    """Shape within one block and one head."""
    dtype: torch.dtype


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """Some tokens in all layers. Ask for `index` when it is used: it changes when the pool shrinks."""

    index: int
    references: int = 1


class BlockPool:
    """`count` blocks, of which `used` are taken. A block given back by its last user can be taken at once."""

    def __init__(
        self, planes: Sequence[Plane], *, layers: int, kv_heads: int, device: torch.device | str
    ) -> None:
        self._planes = tuple(planes)
        self._kv_heads = kv_heads
        self._device = torch.device(device)
        self.layers = [
            {plane.name: self._zeros(plane, 0, self._device) for plane in planes} for _ in range(layers)
        ]
        """By layer: tensors by name of plane."""
        self.block_bytes = layers * sum(
            _bytes(self._zeros(plane, 1, torch.device("meta"))) for plane in planes
        )
        """Of one block in all layers, as the storages of tensors of that size have it."""
        self.count = 0
        self._free: list[int] = []
        self._taken: dict[int, Block] = {}

    @property
    def used(self) -> int:
        """Blocks with a user."""
        return len(self._taken)

    @property
    def allocated_bytes(self) -> int:
        """Of the storages behind all tensors, free blocks included."""
        return sum(_bytes(tensor) for tensors in self.layers for tensor in tensors.values())

    def take(self) -> Block:
        """The free block of the lowest index, with one reference. Raises IndexError if none is free: `resize` first."""
        block = Block(index=heapq.heappop(self._free))
        self._taken[block.index] = block
        return block

    def give_back(self, block: Block) -> None:
        """One reference less; free when none is left."""
        block.references -= 1
        if block.references == 0:
            del self._taken[block.index]
            heapq.heappush(self._free, block.index)

    @torch.inference_mode()
    def resize(self, count: int) -> None:
        """Have room for `count` >= `used` blocks; taken blocks behind the new end move to free places before it.

        On the way one plane of one layer is there twice. Where memory is short for that, blocks and what is in them stay as
        they are, some tensors are larger than `count` blocks, and the next call mends that.
        """
        if count < self.used:
            raise ValueError(f"count is {count}; allowed is {self.used} (blocks in use) or more")
        self._move_before(count)
        self.count = min(self.count, count)
        self._free = [index for index in range(self.count) if index not in self._taken]
        for tensors in self.layers:
            for plane in self._planes:
                old = tensors[plane.name]
                if len(old) == count:
                    continue
                new = self._zeros(plane, count, self._device)
                kept = min(count, len(old))
                new[:kept] = old[:kept]
                tensors[plane.name] = new
        self.count = count
        self._free = [index for index in range(count) if index not in self._taken]

    @torch.inference_mode()
    def copy(self, source: Block, target: Block) -> None:
        """All of it, in all layers."""
        for tensors in self.layers:
            for tensor in tensors.values():
                tensor[target.index] = tensor[source.index]

    def _move_before(self, count: int) -> None:
        """Each block for itself, within the tensors as they are: this takes no memory that could be short."""
        homeless = sorted(index for index in self._taken if index >= count)
        for source, target in zip(homeless, sorted(self._free), strict=False):
            block = self._taken.pop(source)
            self.copy(block, Block(index=target))
            block.index = target
            self._taken[target] = block

    def _zeros(self, plane: Plane, blocks: int, device: torch.device) -> Tensor:
        # Not empty: what nobody wrote must be finite, since a masked NaN is still one.
        return torch.zeros((blocks, self._kv_heads, *plane.tail), dtype=plane.dtype, device=device)


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
