"""Golden texts for measuring a cache's drift: given beginnings, continued by the network itself with an exact cache.

No data is needed, and the positions compared are ones that the network would reach. Called by `text.start`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atheria_server.models.text.cache.drift import GoldenSequence
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.passes import Row, compute_pass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginning:
    """What a golden text starts with."""

    tokens: Sequence[int]
    """At least one; those that `lead` covers count, with any value."""
    lead: Tensor | None = None
    """Embeddings [n, width] of the first n of them."""


@torch.inference_mode()
def continue_texts(
    network: CausalModel, beginnings: Sequence[Beginning], new_tokens: int, device: str = "cpu"
) -> list[GoldenSequence]:
    """Each beginning with up to `new_tokens` likeliest tokens behind it, its end token included; those of fewer than two are
    left out, as no token of theirs is foretold from the cache."""
    longest = max(len(one.tokens) for one in beginnings) + new_tokens
    pool = CachePool(network.cache_shape, 2**62, context_length=longest, prefix_bytes=0, device=device)
    texts = [list(one.tokens) for one in beginnings]
    slots = [pool.open(longest) for _ in beginnings]
    under_way = list(range(len(beginnings)))
    for _ in range(new_tokens):
        rows = [
            Row(
                slot=slots[at],
                tokens=texts[at][slots[at].length :],
                lead=beginnings[at].lead if not slots[at].length else None,
            )
            for at in under_way
        ]
        if not rows:
            break
        scores = compute_pass(network, pool, rows, max(len(row.tokens) for row in rows), device)
        assert scores is not None  # noqa: S101  every row wants its last position
        for at, token in zip(under_way, scores.argmax(-1).tolist(), strict=True):
            texts[at].append(token)
        under_way = [at for at in under_way if texts[at][-1] not in network.end_tokens]
    return [
        GoldenSequence(tokens=text, prompt=len(one.tokens), lead=one.lead)
        for text, one in zip(texts, beginnings, strict=True)
        if len(text) >= len(one.tokens) + 2
    ]
