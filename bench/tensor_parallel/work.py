"""What is computed, whoever computes it: two texts behind pictures, of different lengths, one cut back on the way."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from atheria_server.models.text.causal import CausalModel
from atheria_server.models.text.passes import Row, compute_pass
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.vocabulary import WORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much is computed."""

    side: int
    """Pixels along each side of the pictures, a multiple of 8."""
    words: int
    """Of the first prompt; the second has half as many."""
    steps: int
    """Tokens of each text."""

    @property
    def patches(self) -> int:
        """Positions before the words."""
        return (self.side // 8) ** 2

    @property
    def context(self) -> int:
        """Positions of the longest text."""
        return self.patches + self.words + self.steps + 1


@dataclass(slots=True, kw_only=True)
class Done:
    """What came of it."""

    logits: list[Tensor] = field(default_factory=list)
    """Of every pass."""
    tokens: list[int] = field(default_factory=list)
    prompt_seconds: float = 0.0
    step_seconds: list[float] = field(default_factory=list)
    used_bytes: int = 0
    """Of the cache at its fullest, in this process."""


@torch.inference_mode()
def generate(network: CausalModel, pool: Any, pictures: SceneLine, work: Work) -> Done:
    """Greedy, both texts in each pass; `pictures` embeds them. The same numbers for the same weights."""
    draw = torch.Generator().manual_seed(7)
    shown = torch.randint(0, 256, (2, work.side, work.side, 3), dtype=torch.uint8, generator=draw)
    leads = pictures.embed_picture(shown)
    prompts = [
        torch.randint(1, len(WORDS), (count,), generator=draw).tolist()
        for count in (work.words, work.words // 2)
    ]
    done = Done()
    slots = [pool.open(work.context, [], 0) for _ in prompts]

    def passed(rows: list[Row]) -> list[int]:
        new = max(len(row.tokens) for row in rows)
        logits = compute_pass(network, pool, rows, new, "cpu")
        assert logits is not None
        done.logits.append(logits)
        found: list[int] = logits.argmax(-1).tolist()
        return found

    begin = time.perf_counter()
    last = [
        passed([Row(slot=slot, tokens=[0] * work.patches + prompt, lead=lead)])[0]
        for slot, prompt, lead in zip(slots, prompts, leads, strict=True)
    ]
    done.prompt_seconds = time.perf_counter() - begin
    for step in range(work.steps):
        begin = time.perf_counter()
        last = passed([Row(slot=slot, tokens=[token]) for slot, token in zip(slots, last, strict=True)])
        done.step_seconds.append(time.perf_counter() - begin)
        done.tokens.extend(last)
        if step == 1:
            # As speculative decoding takes a rejected token back: it is computed again.
            slots[0].truncate(slots[0].length - 1)
    done.used_bytes = pool.used_bytes
    for slot in slots:
        slot.close()
    return done
