"""What a compressed cache changes of a model's answers: the same tokens read with it and with an exact one.

The tokens are given (no answer is fed back), so every position is compared and none depends on an earlier difference. Called
by `settling` on the golden set and by `bench.attention`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from atheria_server.core.cache_error_budget import CacheDrift
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.passes import Row, compute_pass
from atheria_server.models.text.pool import Slot


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenSequence:
    """One sequence to be read."""

    tokens: Sequence[int]
    """All of it; those that `lead` covers count, with any value."""
    prompt: int
    """How many of them are read in one pass; the others follow one by one, as in generation. 1 up to all but two."""
    lead: Tensor | None = None
    """Embeddings [n, width] of the first n <= prompt of them."""


def measure_drift(
    network: CausalModel,
    sequences: Sequence[GoldenSequence],
    settings: CacheSettings,
    device: str = "cpu",
    *,
    chunk_tokens: int | None = None,
) -> CacheDrift:
    """Of every token that is foretold from the cache: all behind the prompt but the first, which in one chunk no cache decides.

    `chunk_tokens` = read prompts so many at a time, each chunk from what is compressed of those before; None = in one pass. The
    exact cache reads them in one in any case. All sequences are in memory at once. Raises ValueError for no sequences, or a prompt that is no beginning.
    """
    if not sequences:
        raise ValueError("sequences is empty; expected golden sequences of the model to be measured")
    for sequence in sequences:
        most = len(sequence.tokens) - 2
        if not 1 <= sequence.prompt <= most:
            raise ValueError(
                f"prompt is {sequence.prompt} of {len(sequence.tokens)} tokens; allowed is 1 to {most}"
            )
    exact = read_golden(network, sequences, replace(settings, precision=CachePrecision.FULL), device)
    given = read_golden(network, sequences, settings, device, chunk_tokens)
    return drift_between(exact, given)


def drift_between(exact: Tensor, given: Tensor) -> CacheDrift:
    """Of two readings [positions, vocabulary] of the same tokens: from the first to the second."""
    likelihoods, approximations = exact.double().log_softmax(-1), given.double().log_softmax(-1)
    divergences = (likelihoods.exp() * (likelihoods - approximations)).sum(-1)
    return CacheDrift(
        positions=len(exact),
        agreeing=int((exact.argmax(-1) == given.argmax(-1)).sum()),
        divergence=float(divergences.mean()),
    )


@torch.inference_mode()
def read_golden(
    network: CausalModel,
    sequences: Sequence[GoldenSequence],
    settings: CacheSettings,
    device: str,
    chunk_tokens: int | None = None,
) -> Tensor:
    """Logits [positions, vocabulary] of what is foretold, sequence by sequence; `chunk_tokens` as in `measure_drift`."""
    longest = max(len(sequence.tokens) for sequence in sequences)
    room = CachePool(
        network.cache_shape, 2**62, context_length=longest, settings=settings, prefix_bytes=0, device=device
    )
    slots = [room.open(len(sequence.tokens)) for sequence in sequences]
    for slot, sequence in zip(slots, sequences, strict=True):
        while chunk_tokens and slot.length + chunk_tokens < sequence.prompt:
            compute_pass(network, room, [_chunk(slot, sequence, chunk_tokens)], chunk_tokens, device)
    rows = [
        _chunk(slot, sequence, sequence.prompt - slot.length)
        for slot, sequence in zip(slots, sequences, strict=True)
    ]
    found: list[list[Tensor]] = [[] for _ in sequences]
    under_way = list(range(len(sequences)))
    while rows:
        logits = compute_pass(network, room, rows, max(len(row.tokens) for row in rows), device)
        assert logits is not None  # noqa: S101  every row wants its last position
        for at, scores in zip(under_way, logits, strict=True):
            found[at].append(scores)
        under_way = [at for at in under_way if slots[at].length < len(sequences[at].tokens) - 1]
        rows = [
            Row(slot=slots[at], tokens=sequences[at].tokens[slots[at].length : slots[at].length + 1])
            for at in under_way
        ]
    return torch.stack([scores for of_one in found for scores in of_one[1:]])


def _chunk(slot: Slot, sequence: GoldenSequence, tokens: int) -> Row:
    """The next so many of its prompt; only the last one is asked what follows."""
    start, end = slot.length, slot.length + tokens
    lead = None if sequence.lead is None else sequence.lead[start:end]
    return Row(
        slot=slot,
        tokens=sequence.tokens[start:end],
        lead=lead if lead is not None and len(lead) else None,
        wanted=int(end == sequence.prompt),
    )
