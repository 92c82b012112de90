"""A device that runs out of memory in a pass costs what is kept for later calls, and no text where that is enough."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.core.errors import FullError
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.causal import StepCache
from atheria_server.models.text.generator import Generator
from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.scheduling import SchedulePolicy
from atheria_server.models.text.sequence import Prompt, TextFrames
from tests.unit.server.models.text.tiny import TinyNetwork

EXACT = CacheSettings(recent_window=8, group_tokens=8)
INT8 = CacheSettings(precision=CachePrecision.INT8, recent_window=8, group_tokens=8)
PROMPTS = ((3, 4, 5), (1, 3, 5, 7, 9, 11) * 5, (4,) * 20)
OTHER = tuple(range(3, 15)) * 2


class ShortNetwork(TinyNetwork):
    """Of a device that has no memory at some layers, or for some logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers_until_short: list[int] = []
        """How many layers are computed until each failure, from the one before."""
        self.fails_logits = False
        self.is_always_short = False

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        return super().forward(embeddings, positions, mask, Short(self, cache))

    def logits(self, hidden: Tensor) -> Tensor:
        if self.fails_logits:
            self.fails_logits = False
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().logits(hidden)


class Short:
    def __init__(self, network: ShortNetwork, cache: StepCache) -> None:
        self.network, self.cache = network, cache

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        found = self.cache.update(layer, keys, values)
        left = self.network.layers_until_short
        if self.network.is_always_short or (left and left[0] == 0):
            del left[:1]
            raise torch.OutOfMemoryError("CUDA out of memory")
        if left:
            left[0] -= 1
        return found


def bench(settings: CacheSettings = EXACT) -> tuple[ShortNetwork, CachePool, Generator]:
    network = ShortNetwork()
    budget = 400 * network.cache_shape.bytes_per_token
    pool = CachePool(network.cache_shape, budget, context_length=96, settings=settings)
    policy = SchedulePolicy(cache_bytes=budget, prompt_tokens_per_step=12)
    return network, pool, Generator(network, pool, policy=policy, decode=None)


def add(generator: Generator, prompt: tuple[int, ...]) -> TextFrames:
    options = GenerationOptions(max_new_tokens=20, ignore_end=True)
    return generator.add(Prompt(tokens=prompt), options, streaming=False)


def run(generator: Generator) -> None:
    for _ in range(1000):
        if not generator.has_work:
            return
        generator.step()
    raise AssertionError("the batch never ends")


def texts(generator: Generator) -> list[tuple[int, ...]]:
    frames = [add(generator, prompt) for prompt in PROMPTS]
    run(generator)
    return [next(one).tokens for one in frames]


def test_texts_go_on_where_memory_was_short_in_any_layer() -> None:
    network, pool, generator = bench()
    expected = texts(generator)
    network, pool, generator = bench()
    network.layers_until_short = [1, 4, 7, 3, 10, 5]
    assert texts(generator) == expected
    assert not network.layers_until_short
    assert pool.open_slots == 0


def test_what_is_kept_for_later_calls_goes_first() -> None:
    network, pool, generator = bench()
    add(generator, OTHER)
    run(generator)
    assert pool.prefix_blocks > 0
    frames = add(generator, PROMPTS[0])
    network.layers_until_short = [1]
    generator.step()
    assert pool.prefix_blocks == 0
    run(generator)
    assert len(next(frames).tokens) == 20


@pytest.mark.parametrize("settings", [EXACT, INT8])
def test_memory_that_stays_short_is_said_to_the_caller_as_such_and_frees_the_cache(
    settings: CacheSettings,
) -> None:
    network, pool, generator = bench(settings)
    frames = [add(generator, prompt) for prompt in PROMPTS]
    generator.step()
    network.is_always_short = True
    run(generator)
    for one in frames:
        with pytest.raises(FullError, match="out of memory") as caught:
            next(one)
        assert caught.value.code == "RESOURCE_EXHAUSTED"
    assert pool.open_slots == 0
    network.is_always_short = False
    texts(generator)


def test_a_pass_that_is_in_the_cache_is_not_computed_again() -> None:
    network, pool, generator = bench()
    first = add(generator, PROMPTS[0])
    generator.step()
    network.fails_logits = True
    run(generator)
    with pytest.raises(FullError):
        next(first)
    assert pool.open_slots == 0
    network, _, fresh = bench()
    assert texts(generator) == texts(fresh)


def test_a_compressed_cache_goes_on_where_the_pass_compressed_nothing_and_else_says_so() -> None:
    expected = texts(bench(INT8)[2])
    ended = 0
    for layers in range(0, 48, 3):
        network, pool, generator = bench(INT8)
        network.layers_until_short = [layers]
        frames = [add(generator, prompt) for prompt in PROMPTS]
        run(generator)
        assert not network.layers_until_short
        for one, tokens in zip(frames, expected, strict=True):
            try:
                assert next(one).tokens == tokens
            except FullError:
                ended += 1
        assert pool.open_slots == 0
    assert 0 < ended < 16 * len(PROMPTS)
