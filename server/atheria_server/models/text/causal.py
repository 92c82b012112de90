"""What a model gives to the generator, and what it gets of the cache: the seam between networks, caches and scheduling.

Networks (`sceneline`, Hugging Face's) implement `CausalModel`; caches (`text.cache`) implement `StepCache`; the generator
calls the one with the other and knows neither. Row i of every tensor belongs to the i-th sequence of the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """What one token of one sequence leaves in the cache: `layers` times a key and a value of [kv_heads, head_size]."""

    layers: int
    kv_heads: int
    head_size: int
    dtype: torch.dtype
    """Of uncompressed keys and values."""
    window: int | None = None
    """Positions that a token attends to in every layer, its own included; None = in some layer to all before it."""

    @property
    def bytes_per_token(self) -> int:
        """Of keys and values in all layers, uncompressed."""
        return 2 * self.layers * self.kv_heads * self.head_size * self.dtype.itemsize


class StepCache(Protocol):
    """The cache of the sequences of one step."""

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append what `layer` made of the new tokens; give back all that it attends to.

        `keys` and `values` are [rows, kv_heads, new, head_size]. Both results are [rows, kv_heads, longest, head_size]
        with each row's tokens from index 0 on; what lies behind a row's own tokens is finite and masked by the caller.
        """


class CausalModel(Protocol):
    """A decoder-only network in evaluation mode; every method runs under `torch.inference_mode`."""

    @property
    def cache_shape(self) -> CacheShape:
        """Of one token."""

    @property
    def width(self) -> int:
        """Of embeddings and hidden states."""

    @property
    def vocabulary_size(self) -> int:
        """Logits per token."""

    @property
    def context_length(self) -> int:
        """Most tokens of a sequence, those before the text (an image's patches) included."""

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a text."""

    @property
    def has_own_attention(self) -> bool:
        """Whether its layers compute attention without torch's kernels, so with all scores in memory, whatever the rule says."""

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Embeddings [rows, new, width] of int64 `tokens` [rows, new] at `positions` [rows, new] of the sequence."""

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        """Hidden states [rows, new, width] behind the last norm.

        `mask` is bool [rows, 1, new, longest], True where a new token attends; None = one new token per row that attends
        to all of an unpadded cache, or a first pass that is causal and unpadded (`is_causal`). `longest` is that of the cache.
        """

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., vocabulary_size] in float32 of hidden states [..., width]."""
