from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.models.text import drafts
from atheria_server.models.text.drafts import NGRAM_MAX, ModelDrafter, Ngrams
from atheria_server.models.text.generator import Generator
from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.scheduling import SchedulePolicy
from atheria_server.models.text.sequence import Prompt
from tests.unit.server.models.text.tiny import NaivePool, TinyNetwork

POOL_TOKENS = 1024


def looked_up(tokens: Sequence[int], count: int) -> list[int]:
    """As `Ngrams.look`, the plain way."""
    for size in range(min(NGRAM_MAX, len(tokens) - 1), 0, -1):
        for at in range(len(tokens) - size - 1, -1, -1):
            if list(tokens[at : at + size]) == list(tokens[-size:]):
                return list(tokens[at + size : at + size + count])
    return []


@given(parts=st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=6), count=st.integers(1, 5))
def test_what_followed_is_found_however_the_text_came(parts: list[list[int]], count: int) -> None:
    ngrams = Ngrams()
    for part in parts:
        ngrams.extend(part)
        assert ngrams.look(count) == looked_up(ngrams.tokens, count)


def made(
    network: TinyNetwork,
    draft: TinyNetwork | None,
    prompts: list[tuple[int, ...]],
    *,
    draft_tokens: int = POOL_TOKENS,
    undrafted: int | None = None,
) -> list[list[int]]:
    """What each prompt becomes, with `draft` or without one; its cache has room for `draft_tokens`, and so many texts are counted
    as `undrafted`, where that is said."""
    draft_pool = NaivePool((draft or network).cache_shape, draft_tokens)
    drafter = ModelDrafter(draft or network, draft_pool, chunk=16, device="cpu")  # type: ignore[arg-type]
    pool = NaivePool(network.cache_shape, POOL_TOKENS)
    generator = Generator(
        network,
        pool,  # type: ignore[arg-type]
        policy=SchedulePolicy(cache_bytes=pool.budget_bytes),
        decode=None,
        drafters={"draft": drafter} if draft else {},
    )
    options = GenerationOptions(max_new_tokens=16, speculation="draft", ignore_end=True)
    frames = [generator.add(Prompt(tokens=prompt), options, streaming=False) for prompt in prompts]
    while generator.has_work:
        generator.step()
    assert draft_pool.slots == []
    assert undrafted in (None, generator.report()["undrafted_texts"])
    return [list(next(one).tokens) for one in frames]


PROMPTS = [(3, 4, 5), tuple(range(1, 17)) * 3, (7,) * 40]


@pytest.mark.parametrize("failing", [1, 2, 5, 9])
def test_a_draft_that_fails_ends_no_text(failing: int) -> None:
    network, draft = TinyNetwork(), TinyNetwork(seed=7, layers=1)
    draft.failing_calls = {failing}
    assert made(network, draft, PROMPTS) == made(network, None, PROMPTS)
    assert draft.calls >= failing


def test_texts_that_have_no_draft_where_they_asked_for_one_are_counted() -> None:
    network = TinyNetwork()
    plain = made(network, None, PROMPTS)
    small = TinyNetwork(seed=7, layers=1)
    assert made(network, small, PROMPTS, undrafted=0) == plain
    # Room for the first text alone, and a context for the first alone.
    assert made(network, small, PROMPTS, draft_tokens=30, undrafted=2) == plain
    short = TinyNetwork(seed=7, layers=1, context_length=30)
    assert made(network, short, PROMPTS, undrafted=2) == plain
    failing = TinyNetwork(seed=7, layers=1)
    failing.failing_calls = {1}
    assert made(network, failing, PROMPTS[:1], undrafted=1) == plain[:1]


def test_the_prompts_of_a_step_share_what_the_draft_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    steps: list[int] = []
    computed, proposed = drafts.compute_pass, ModelDrafter.propose

    def compute(network: Any, pool: Any, rows: Any, new: int, device: str) -> Any:
        reads.append(sum(len(row.tokens) for row in rows if not row.wanted))
        return computed(network, pool, rows, new, device)

    def propose(self: ModelDrafter, sequences: Any) -> None:
        reads.clear()
        proposed(self, sequences)
        steps.append(sum(reads))

    monkeypatch.setattr(drafts, "compute_pass", compute)
    monkeypatch.setattr(ModelDrafter, "propose", propose)
    network = TinyNetwork()
    prompts = [(token,) * 40 for token in range(3, 9)]
    assert made(network, TinyNetwork(seed=7, layers=1), prompts) == made(network, None, prompts)
    assert 0 < max(steps) <= 16
