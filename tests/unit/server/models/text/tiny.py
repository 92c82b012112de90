"""A causal network small enough for tests, and the plainest cache pool that keeps the promises of `text.pool`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from atheria_server.models.text.causal import CacheShape, StepCache

VOCABULARY = 17
END = 2


class TinyNetwork(nn.Module):
    """Two layers, two KV heads for four heads, learned positions, weights from a seed."""

    def __init__(self, seed: int = 0, *, layers: int = 2, width: int = 16, context_length: int = 128) -> None:
        super().__init__()
        self.layers, self.width_, self.context_length_ = layers, width, context_length
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.Embedding(VOCABULARY, width)
            self.places = nn.Embedding(context_length, width)
            self.queries = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
            self.keys = nn.ModuleList(nn.Linear(width, width // 2) for _ in range(layers))
            self.values = nn.ModuleList(nn.Linear(width, width // 2) for _ in range(layers))
            self.mixes = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
            self.out = nn.Linear(width, VOCABULARY)
        self.eval().requires_grad_(False)
        self.calls = 0
        self.failing_calls: set[int] = set()

    @property
    def cache_shape(self) -> CacheShape:
        return CacheShape(layers=self.layers, kv_heads=2, head_size=self.width_ // 4, dtype=torch.float32)

    @property
    def width(self) -> int:
        return self.width_

    @property
    def vocabulary_size(self) -> int:
        return VOCABULARY

    @property
    def context_length(self) -> int:
        return self.context_length_

    @property
    def has_own_attention(self) -> bool:
        """See `CausalModel`."""
        return False

    @property
    def end_tokens(self) -> frozenset[int]:
        return frozenset((END,))

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.words(tokens) + self.places(positions)

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        self.calls += 1
        if self.calls in self.failing_calls:
            raise RuntimeError("the device is on fire")
        hidden = embeddings
        for index in range(self.layers):
            normed = F.layer_norm(hidden, (self.width_,))
            keys, values = cache.update(
                index, _heads(self.keys[index](normed), 2), _heads(self.values[index](normed), 2)
            )
            attended = F.scaled_dot_product_attention(
                _heads(self.queries[index](normed), 4),
                keys,
                values,
                attn_mask=mask,
                is_causal=mask is None and embeddings.shape[1] > 1,
                enable_gqa=True,
            )
            hidden = hidden + self.mixes[index](attended.transpose(1, 2).flatten(2))
        return F.layer_norm(hidden, (self.width_,))

    def logits(self, hidden: Tensor) -> Tensor:
        return 8 * self.out(hidden)


def _heads(projected: Tensor, heads: int) -> Tensor:
    rows, new = projected.shape[:2]
    return projected.view(rows, new, heads, -1).transpose(1, 2)


class NaiveSlot:
    """Keys and values of one sequence: per layer [kv_heads, length, head_size]."""

    def __init__(self, pool: NaivePool, capacity: int) -> None:
        self.pool, self.capacity, self.length = pool, capacity, 0
        empty = torch.zeros(pool.shape.kv_heads, 0, pool.shape.head_size)
        self.keys = [empty] * pool.shape.layers
        self.values = [empty] * pool.shape.layers

    @property
    def held(self) -> int:
        return self.length

    def truncate(self, length: int) -> None:
        self.length = length

    def close(self, content: Sequence[int] = ()) -> None:
        assert not content or len(content) == self.length
        self.pool.slots.remove(self)


class NaivePool:
    """No reuse, no blocks, no precision: a tensor per slot and layer."""

    def __init__(self, shape: CacheShape, tokens: int) -> None:
        self.shape = shape
        self.budget_bytes = tokens * shape.bytes_per_token
        self.slots: list[NaiveSlot] = []
        self.peak_bytes = 0

    @property
    def free_bytes(self) -> int:
        return self.budget_bytes - self.used_bytes

    @property
    def used_bytes(self) -> int:
        return sum(self.bytes_for(slot.capacity) for slot in self.slots)

    def bytes_for(self, tokens: int) -> int:
        return tokens * self.shape.bytes_per_token

    def open(self, capacity: int, content: Sequence[int], reusable: int) -> NaiveSlot:
        slot = NaiveSlot(self, capacity)
        self.slots.append(slot)
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        assert self.used_bytes <= self.budget_bytes
        return slot

    def step(self, rows: Sequence[tuple[NaiveSlot, int]]) -> NaiveCache:
        return NaiveCache(rows)


class NaiveCache:
    def __init__(self, rows: Sequence[tuple[NaiveSlot, int]]) -> None:
        self._rows = rows
        self.longest = max(slot.length + new for slot, new in rows)

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        for row, (slot, new) in enumerate(self._rows):
            assert slot.length + new <= slot.capacity
            slot.keys[layer] = torch.cat((slot.keys[layer][:, : slot.length], keys[row, :, :new]), 1)
            slot.values[layer] = torch.cat((slot.values[layer][:, : slot.length], values[row, :, :new]), 1)
        return self._together(layer, "keys"), self._together(layer, "values")

    def _together(self, layer: int, name: str) -> Tensor:
        parts = [getattr(slot, name)[layer] for slot, _ in self._rows]
        return torch.stack([F.pad(part, (0, 0, 0, self.longest - part.shape[1])) for part in parts])

    def commit(self) -> None:
        for slot, new in self._rows:
            slot.length += new
