"""A network in front of another, which differs from it in what it overrides. Base of `split.SplitModel` and `lead.LeadModel`."""

from __future__ import annotations

from torch import Tensor

from atheria_server.models.text.causal import CacheShape, CausalModel, StepCache


class AroundModel:
    """A `CausalModel` that does everything as `network` does."""

    def __init__(self, network: CausalModel) -> None:
        self._network = network

    @property
    def cache_shape(self) -> CacheShape:
        """Of one token in this rank."""
        return self._network.cache_shape

    @property
    def width(self) -> int:
        """Of embeddings and hidden states, which are whole in every rank."""
        return self._network.width

    @property
    def vocabulary_size(self) -> int:
        """Logits per token."""
        return self._network.vocabulary_size

    @property
    def context_length(self) -> int:
        """Most tokens of a sequence."""
        return self._network.context_length

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a text."""
        return self._network.end_tokens

    @property
    def has_own_attention(self) -> bool:
        """See `CausalModel`."""
        return self._network.has_own_attention

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """As in `CausalModel`; the rank alone."""
        return self._network.embed(tokens, positions)

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        """As in `CausalModel`; all ranks together, each with the same arguments and its own cache."""
        return self._network.forward(embeddings, positions, mask, cache)

    def logits(self, hidden: Tensor) -> Tensor:
        """As in `CausalModel`; the rank alone."""
        return self._network.logits(hidden)
