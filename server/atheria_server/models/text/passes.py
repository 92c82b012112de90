"""One call of the network for the rows of one pass: embeddings, positions and mask in, logits out.

Called by `text.generator` for the served network and by `text.drafts` for the one that proposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atheria_server.models.text.attention import DEFAULT_RULE, AttentionRule, attending_by, choose_kernel
from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.pool import CachePool, Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """New tokens of one sequence; they stand behind what is in its slot."""

    slot: Slot
    tokens: Sequence[int]
    """At least one; those that `lead` covers count, with any value."""
    lead: Tensor | None = None
    """Embeddings [n, width] of the first n of them."""
    wanted: int = 1
    """Logits of so many of the last positions; 0 = none."""


class OnePass:
    """The `StepCache` of whole sequences in one pass: nothing was before, nothing is kept."""

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """What was given."""
        del layer
        return keys, values


def compute_pass(
    network: CausalModel,
    pool: CachePool,
    rows: Sequence[Row],
    new: int,
    device: str,
    *,
    rule: AttentionRule = DEFAULT_RULE,
) -> Tensor | None:
    """Logits [wanted positions of all rows, vocabulary] in the order of the rows; None where nobody wants any.

    Every row is filled up to `new` tokens behind its own; nobody attends to those.
    """
    past = [row.slot.length for row in rows]
    real = [len(row.tokens) for row in rows]
    filled = [[*row.tokens, *[0] * (new - len(row.tokens))] for row in rows]
    tokens = torch.tensor(filled, device=device)
    starts = torch.tensor(past, device=device)[:, None]
    positions = (starts + torch.arange(new, device=device)).clamp(max=network.context_length - 1)
    embeddings = network.embed(tokens, positions)
    for at, row in enumerate(rows):
        if row.lead is not None:
            embeddings[at, : len(row.lead)] = row.lead
    cache = pool.step(list(zip([row.slot for row in rows], real, strict=True)))
    held = [row.slot.held for row in rows]
    mask = causal_mask(held, real, new, cache.longest, device)
    kernel = choose_kernel(
        keys=cache.longest, masked=mask is not None, device=torch.device(device).type, rule=rule
    )
    with attending_by(kernel):
        hidden = network.forward(embeddings, positions, mask, cache)
    cache.commit()
    places = [
        (at, position) for at, row in enumerate(rows) for position in range(real[at] - row.wanted, real[at])
    ]
    if not places:
        return None
    which, where = zip(*places, strict=True)
    return network.logits(hidden[list(which), list(where)])


def causal_mask(
    past: Sequence[int], real: Sequence[int], new: int, longest: int, device: str
) -> Tensor | None:
    """Bool [rows, 1, new, longest], True where a new token attends; None where `CausalModel.forward` needs none.

    `past` = positions of each row that the cache holds. Token q of a row attends to positions up to past + q; one that fills up attends as the row's last real token, so that
    no row of the softmax is empty.
    """
    if new == 1 and len(set(past)) == 1:
        return None
    if not any(past) and set(real) == {new}:
        return None
    steps = torch.arange(new, device=device)[None, :]
    last = torch.tensor(real, device=device)[:, None] - 1
    reach = torch.tensor(past, device=device)[:, None] + torch.minimum(steps, last)
    return (torch.arange(longest, device=device) <= reach[:, :, None])[:, None]
