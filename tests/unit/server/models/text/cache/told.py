"""Sequences whose keys and values are decided by their tokens alone, written to a pool and read back; for tests of the pool."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from atheria_server.models.text.cache.pool import CachePool, Slot
from atheria_server.models.text.causal import CacheShape

SHAPE = CacheShape(layers=2, kv_heads=2, head_size=8, dtype=torch.float32)


def told(tokens: Sequence[int], layer: int) -> tuple[Tensor, Tensor]:
    """Keys and values [kv_heads, tokens, head_size] in `layer`: each position's depend on all tokens up to it."""
    both = []
    for position in range(len(tokens)):
        digest = hashlib.blake2b(repr((list(tokens[: position + 1]), layer)).encode()).digest()
        both.append(torch.frombuffer(bytearray(digest[:32]), dtype=torch.uint8).float() / 64 - 2)
    whole = torch.stack(both).view(len(tokens), 2, SHAPE.kv_heads, SHAPE.head_size).permute(1, 2, 0, 3)
    return whole[0], whole[1]


def append(
    pool: CachePool, rows: Sequence[tuple[Slot, Sequence[int], int]]
) -> list[list[tuple[Tensor, Tensor]]]:
    """One step: each slot's tokens so far and new ones, and how many of them are new.

    Gives by row and layer the keys and values of all tokens of the row that are held, as the pool has them. Padding is NaN.
    """
    step = pool.step([(slot, new) for slot, _, new in rows])
    widest = max(new for _, _, new in rows)
    seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in rows]
    with torch.inference_mode():
        for layer in range(SHAPE.layers):
            given = torch.full((2, len(rows), SHAPE.kv_heads, widest, SHAPE.head_size), torch.nan)
            for row, (_, tokens, new) in enumerate(rows):
                for kind, exact in enumerate(told(tokens, layer)):
                    given[kind, row, :, :new] = exact[:, len(tokens) - new :]
            keys, values = step.update(layer, given[0], given[1])
            assert keys.shape == values.shape == (len(rows), SHAPE.kv_heads, step.longest, SHAPE.head_size)
            assert keys.isfinite().all()
            assert values.isfinite().all()
            for row, (slot, _, new) in enumerate(rows):
                held = slot.held + new
                seen[row].append((keys[row, :, :held].clone(), values[row, :, :held].clone()))
    step.commit()
    return seen


def furthest(seen: Sequence[tuple[Tensor, Tensor]], tokens: Sequence[int], first: int = 0) -> float:
    """Largest difference of what the pool gave for a row from what was told, from position `first` on."""
    held = seen[0][0].shape[1]
    return max(
        float((got - exact[:, -held:])[:, max(0, first + held - len(tokens)) :].abs().max())
        for layer, both in enumerate(seen)
        for got, exact in zip(both, told(tokens, layer), strict=True)
    )
