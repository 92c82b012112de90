"""The generator on the real pool: the same texts as on the plainest one, whatever is shared, taken back or cancelled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.drafts import ModelDrafter, NgramDrafter
from atheria_server.models.text.generator import Generator
from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.scheduling import SchedulePolicy
from atheria_server.models.text.sequence import Prompt, TextFrame
from tests.unit.server.models.text.tiny import VOCABULARY, NaivePool, TinyNetwork

CONTEXT = 96
BEGINNINGS = ((1, 3, 5, 7, 9, 11) * 6, (4,) * 20, (8, 6, 4, 1))
FULL = CacheSettings(recent_window=8, group_tokens=8)
INT8 = CacheSettings(precision=CachePrecision.INT8, recent_window=8, group_tokens=8)


def pool_of(
    network: TinyNetwork, settings: CacheSettings = FULL, tokens: int = 400, **more: Any
) -> CachePool:
    return CachePool(
        network.cache_shape,
        tokens * network.cache_shape.bytes_per_token,
        context_length=CONTEXT,
        settings=settings,
        **more,
    )


def generator_on(network: TinyNetwork, pool: Any, draft_pool: Any) -> Generator:
    draft = TinyNetwork(seed=7, layers=1)
    return Generator(
        network,
        pool,
        policy=SchedulePolicy(cache_bytes=pool.budget_bytes, places=6, prompt_tokens_per_step=12),
        decode=None,
        drafters={
            "ngram": NgramDrafter(),
            "draft": ModelDrafter(draft, draft_pool, chunk=16, device="cpu"),
        },
    )


def texts(
    generator: Generator, count: int, seed: int = 0, *, cancels: bool = False
) -> list[TextFrame | None]:
    """Random texts of equal and different beginnings, added while others run; None = cancelled."""
    chance = random.Random(seed)  # noqa: S311
    made, found = [], list[TextFrame | None]()
    for _ in range(count):
        tail = [chance.randrange(VOCABULARY) for _ in range(chance.randrange(1, 12))]
        options = GenerationOptions(
            max_new_tokens=chance.randrange(1, 30),
            ignore_end=True,
            speculation=chance.choice(("off", "ngram", "draft")),
        )
        prompt = Prompt(tokens=(*chance.choice(BEGINNINGS), *tail))
        made.append(generator.add(prompt, options, streaming=False))
        for _ in range(chance.randrange(4)):
            generator.step()
        if cancels and chance.random() < 0.3:
            made.pop(chance.randrange(len(made))).close()
    for _ in range(10_000):
        if not generator.has_work:
            break
        generator.step()
    assert not generator.has_work
    for frames in made:
        found += list(frames)
    return found


def tokens_of(found: Sequence[TextFrame | None]) -> list[tuple[int, ...]]:
    return [tuple(frame.tokens) for frame in found if frame is not None]


def test_texts_are_those_of_the_plainest_pool_and_beginnings_are_reused() -> None:
    network = TinyNetwork()
    plain = generator_on(network, NaivePool(network.cache_shape, 4096), NaivePool(network.cache_shape, 4096))
    draft = TinyNetwork(seed=7, layers=1)
    pool, draft_pool = pool_of(network), pool_of(draft, prefix_bytes=0)
    assert tokens_of(texts(generator_on(network, pool, draft_pool), 40)) == tokens_of(texts(plain, 40))
    assert pool.hit_tokens > 300
    assert pool.open_slots == draft_pool.open_slots == draft_pool.allocated_bytes == 0
    assert pool.used_bytes == pool.prefix_blocks * pool.bytes_for(8)
    pool.forget_prefixes()
    pool.trim()
    assert pool.used_bytes == pool.allocated_bytes == 0


@pytest.mark.parametrize("settings", [FULL, INT8], ids=["full", "int8"])
def test_cancelled_texts_leave_nothing_in_a_pool_that_is_always_full(settings: CacheSettings) -> None:
    network = TinyNetwork()
    pool = pool_of(network, settings, tokens=200)
    draft_pool = pool_of(TinyNetwork(seed=7, layers=1), prefix_bytes=0)
    for seed in range(2):
        texts(generator_on(network, pool, draft_pool), 30, seed, cancels=True)
        assert pool.open_slots == draft_pool.open_slots == draft_pool.allocated_bytes == 0
        assert pool.free_bytes == pool.budget_bytes
        assert pool.allocated_bytes <= pool.budget_bytes
    pool.forget_prefixes()
    assert pool.used_bytes == 0
