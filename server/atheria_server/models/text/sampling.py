"""The next token of each sequence, from the network's logits. Called by `text.generator` in the worker.

What a sequence draws depends on its own logits, options and generator alone, never on who shares its pass. Each token takes
one draw, so a text is the same whether tokens were proposed and checked together or made one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from atheria_server.models.text.options import GenerationOptions

NUCLEUS_STEP: Final = 4
"""`top_p` looks at tokens at least 1/4 as likely as the likeliest, then 1/16, and so on."""
NUCLEUS_LEAST: Final = 2.0**-60
"""Below this threshold it looks at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One token."""

    token: int
    logprob: float | None = None
    """Natural logarithm of its probability under the network, where the caller asked for it."""


def seeded(seed: int) -> torch.Generator:
    """The source of a sequence's draws, on the CPU whatever the device: the same everywhere."""
    return torch.Generator().manual_seed(seed)


class Sampler:
    """Of one pass: logits [positions, vocabulary] of the network, read one position at a time."""

    def __init__(self, logits: Tensor) -> None:
        """Greedy choices of all positions are made at once, on the device."""
        self._logits = logits
        self._likeliest: list[int] = logits.argmax(-1).tolist()

    def token(self, position: int, options: GenerationOptions, generator: torch.Generator) -> Sampled:
        """The next token behind `position`; takes one draw of `generator`, none where the choice is greedy."""
        if options.temperature == 0:
            token = self._likeliest[position]
        else:
            token = draw(self._logits[position], options, generator)
        if not options.logprobs:
            return Sampled(token=token)
        row = self._logits[position].float()
        return Sampled(token=token, logprob=float(row[token] - row.logsumexp(-1)))


def draw(logits: Tensor, options: GenerationOptions, generator: torch.Generator) -> int:
    """A token of the distribution softmax(logits / temperature), cut to the `top_k` likeliest, then to `top_p`.

    `logits` [vocabulary]. By the inverse of the cumulative distribution in float64: of all tokens in their own order, which
    needs no sorting, of a cut in the order of `likeliest`.
    """
    scores = logits.to("cpu", torch.float64)
    # Behind the largest: whatever the temperature, it stays a number.
    scaled = (scores - scores.max()) / options.temperature
    if not options.top_k and options.top_p == 1:
        return _index(scaled.softmax(-1).cumsum(-1), generator)
    tokens = likeliest(scaled, options.top_k) if options.top_k else None
    if options.top_p < 1:
        among = scaled if tokens is None else scaled[tokens]
        places, sums = nucleus(among.softmax(-1), options.top_p)
        return int((places if tokens is None else tokens[places])[_index(sums, generator)])
    assert tokens is not None  # noqa: S101  one of the two cuts is asked for
    return int(tokens[_index(scaled[tokens].softmax(-1).cumsum(-1), generator)])


def likeliest(scores: Tensor, count: int) -> Tensor:
    """Indexes of the `count` largest of `scores` [n], the largest first, equal ones in the order of their index.

    The whole is not sorted: only what reaches the count-th largest is.
    """
    if count >= len(scores):
        return scores.argsort(descending=True, stable=True)
    least = scores.topk(count, sorted=False).values.min()
    reaching = (~(scores < least)).nonzero().flatten()
    return reaching[scores[reaching].argsort(descending=True, stable=True)[:count]]


def nucleus(probabilities: Tensor, mass: float) -> tuple[Tensor, Tensor]:
    """The fewest likeliest tokens that together reach `mass`: their indexes as `likeliest` has them, and the sums up to each.

    `probabilities` [n]. The one that reaches it is in; all are where rounding keeps them below it. Only those above a
    threshold are sorted, which is lowered until they reach the mass.
    """
    threshold = float(probabilities.max())
    while threshold > NUCLEUS_LEAST:
        threshold /= NUCLEUS_STEP
        above = probabilities >= threshold
        if float(torch.where(above, probabilities, 0.0).sum()) >= mass:
            values, order = probabilities[above].sort(descending=True, stable=True)
            sums = values.cumsum(-1)
            if float(sums[-1]) >= mass:
                return _reaching(above.nonzero().flatten()[order], sums, mass)
    indexes = likeliest(probabilities, len(probabilities))
    return _reaching(indexes, probabilities[indexes].cumsum(-1), mass)


def _reaching(indexes: Tensor, sums: Tensor, mass: float) -> tuple[Tensor, Tensor]:
    kept = int(torch.searchsorted(sums, mass)) + 1
    return indexes[:kept], sums[:kept]


def _index(sums: Tensor, generator: torch.Generator) -> int:
    """Where a draw falls, of cumulative `sums` [n]."""
    at = torch.rand((), generator=generator, dtype=torch.float64) * sums[-1]
    # Where rounding takes it to the end: the last one that has a probability, which the last of all need not have.
    last = min(int(torch.searchsorted(sums, sums[-1])), len(sums) - 1)
    return min(int(torch.searchsorted(sums, at, right=True)), last)
