from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from atheria_server.core.cache_precision import CacheSettings
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.drafts import ModelDrafter, NgramDrafter
from atheria_server.models.text.generator import Generator
from atheria_server.models.text.options import GenerationOptions
from atheria_server.models.text.scheduling import SchedulePolicy
from atheria_server.models.text.sequence import Prompt, TextFrame, TextFrames
from tests.unit.server.models.text.tiny import END, VOCABULARY, NaivePool, TinyNetwork

POOL_TOKENS = 4096


def text_of(tokens: Sequence[int]) -> str:
    return "".join(chr(ord("a") + token) for token in tokens)


class Bench:
    def __init__(self, network: TinyNetwork | None = None, tokens: int = POOL_TOKENS, **policy: int) -> None:
        self.network = network or TinyNetwork()
        self.pool = NaivePool(self.network.cache_shape, tokens)
        self.use(self.pool, **policy)

    def use(self, pool: Any, **policy: int) -> None:
        small = TinyNetwork(seed=7, layers=1)
        self.draft_pool = NaivePool(small.cache_shape, POOL_TOKENS)
        self.generator = Generator(
            self.network,
            pool,
            policy=SchedulePolicy(**{"cache_bytes": pool.budget_bytes, **policy}),
            decode=text_of,
            drafters={
                "ngram": NgramDrafter(),
                "draft": ModelDrafter(small, self.draft_pool, chunk=16, device="cpu"),
            },
        )

    def add(self, tokens: Sequence[int], *, streaming: bool = False, **options: object) -> TextFrames:
        given = GenerationOptions(**{"max_new_tokens": 8, "ignore_end": True, **options})
        return self.generator.add(Prompt(tokens=tuple(tokens)), given, streaming=streaming)

    def run(self) -> None:
        for _ in range(100_000):
            if not self.generator.has_work:
                return
            self.generator.step()
        raise AssertionError("the batch never ends")

    def text(self, tokens: Sequence[int], **options: object) -> TextFrame:
        frames = self.add(tokens, **options)
        self.run()
        (frame,) = frames
        return frame


def recomputed(network: TinyNetwork, tokens: Sequence[int], count: int) -> tuple[int, ...]:
    """Greedy, the whole sequence through the network for each token, without a cache."""
    known = list(tokens)
    for _ in range(count):
        given = torch.tensor([known])
        positions = torch.arange(len(known))[None]
        pool = NaivePool(network.cache_shape, 1024)
        cache = pool.step([(pool.open(len(known), (), 0), len(known))])
        hidden = network.forward(network.embed(given, positions), positions, None, cache)
        known.append(int(network.logits(hidden[0, -1]).argmax()))
    return tuple(known[len(tokens) :])


PROMPTS = [(1,), (3, 4), (5, 6, 7, 8, 9), tuple(range(17)), (4,) * 40, (9, 1, 9, 1, 9, 1, 9), (0, 16) * 30]


def test_the_running_batch_makes_the_tokens_of_a_full_recomputation() -> None:
    bench = Bench(prompt_tokens_per_step=8)
    frames = [bench.add(prompt, max_new_tokens=5 + at) for at, prompt in enumerate(PROMPTS)]
    bench.run()
    for at, (prompt, made) in enumerate(zip(PROMPTS, frames, strict=True)):
        (frame,) = made
        assert frame.tokens == recomputed(bench.network, prompt, 5 + at)
        assert frame.finish_reason == "length"
    assert bench.pool.slots == []


@pytest.mark.parametrize("speculation", ["ngram", "draft"])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_proposals_change_the_number_of_passes_and_nothing_else(speculation: str, temperature: float) -> None:
    def texts(word: str) -> list[TextFrame]:
        bench = Bench()
        made = [
            bench.add(prompt, max_new_tokens=40, speculation=word, temperature=temperature, seed=3)
            for prompt in PROMPTS
        ]
        bench.run()
        assert not bench.pool.slots
        assert not bench.draft_pool.slots
        return [next(frames) for frames in made]

    plain, proposed = texts("off"), texts(speculation)
    assert [one.tokens for one in plain] == [one.tokens for one in proposed]
    assert all(one.usage is not None and one.usage.target_calls == 40 for one in plain)
    usages = [one.usage for one in proposed if one.usage is not None]
    assert sum(usage.accepted_tokens for usage in usages) > 0
    assert all(usage.target_calls + usage.accepted_tokens == 40 for usage in usages)
    assert all(usage.accepted_tokens <= usage.drafted_tokens for usage in usages)


def test_a_draft_that_is_the_network_itself_is_always_right() -> None:
    bench = Bench()
    same = NaivePool(bench.network.cache_shape, POOL_TOKENS)
    bench.generator = Generator(
        bench.network,
        bench.pool,
        policy=SchedulePolicy(cache_bytes=bench.pool.budget_bytes),
        decode=text_of,
        drafters={"draft": ModelDrafter(bench.network, same, chunk=64, device="cpu")},
    )
    made = bench.text(tuple(range(17)) * 2, max_new_tokens=31, speculation="draft", draft_tokens=4)
    assert made.usage is not None
    assert made.usage.drafted_tokens == made.usage.accepted_tokens == 24
    assert made.usage.target_calls == 7


def test_draws_depend_on_the_seed_and_not_on_the_neighbours() -> None:
    options = {"temperature": 1.0, "top_p": 0.9, "top_k": 8, "max_new_tokens": 20}
    alone = Bench().text((3, 4, 5), seed=11, **options)
    bench = Bench()
    frames = [bench.add((3, 4, 5), seed=seed, **options) for seed in (10, 11, 12)]
    bench.add(PROMPTS[6], temperature=2.0)
    bench.run()
    texts = [next(made).tokens for made in frames]
    assert texts[1] == alone.tokens
    assert len(set(texts)) == 3


def test_a_text_ends_with_the_end_token_a_stop_token_and_before_a_stop_text() -> None:
    tokens = Bench().text((5, 6, 7), max_new_tokens=30, temperature=1.5, seed=5).tokens
    assert END in tokens
    options = {"max_new_tokens": 30, "temperature": 1.5, "seed": 5}
    ended = Bench().text((5, 6, 7), ignore_end=False, **options)
    assert ended.tokens == tokens[: tokens.index(END) + 1]
    assert ended.text == text_of(ended.tokens[:-1])
    assert ended.finish_reason == "stop"
    stopped = Bench().text((5, 6, 7), stop_tokens=(tokens[3],), **options)
    assert stopped.tokens == tokens[: tokens.index(tokens[3]) + 1]
    stop = text_of(tokens[4:6])
    before = text_of(tokens).index(stop)
    cut = Bench().text((5, 6, 7), stop=(stop,), **options)
    assert cut.text == text_of(tokens)[:before]
    assert cut.finish_reason == "stop"


def test_logprobs_are_those_of_the_network() -> None:
    bench = Bench()
    frame = bench.text((5, 6, 7), logprobs=True, max_new_tokens=1, temperature=3.0, top_k=2, seed=1)
    network = bench.network
    pool = NaivePool(network.cache_shape, 64)
    given, positions = torch.tensor([[5, 6, 7]]), torch.arange(3)[None]
    hidden = network.forward(
        network.embed(given, positions), positions, None, pool.step([(pool.open(3, (), 0), 3)])
    )
    expected = network.logits(hidden[0, -1]).log_softmax(-1)[frame.tokens[0]]
    assert frame.logprobs == pytest.approx([float(expected)], abs=1e-5)


def test_a_stream_has_the_same_frames_however_fast_they_are_taken() -> None:
    bench = Bench()
    quick, slow = bench.add((3, 4), streaming=True), bench.add((3, 4), streaming=True)
    whole = bench.add((3, 4))
    taken: list[TextFrame] = []
    while bench.generator.has_work:
        bench.generator.step()
        while quick.ready and len(taken) < 8:
            taken.append(next(quick))
    assert all(len(frame.tokens) == 1 for frame in taken)
    assert [frame.finish_reason for frame in taken] == [None] * 7 + ["length"]
    late = list(slow)
    assert [(frame.text, frame.tokens) for frame in late] == [(frame.text, frame.tokens) for frame in taken]
    (one,) = whole
    assert one.text == "".join(frame.text for frame in taken)
    assert one.tokens == tuple(token for frame in taken for token in frame.tokens)


def test_a_long_prompt_delays_the_first_token_of_a_short_one_by_at_most_two_steps() -> None:
    network = TinyNetwork(context_length=4096)

    def steps(*, behind_long: bool, budget: int) -> list[int]:
        bench = Bench(network, tokens=40_000, prompt_tokens_per_step=budget)
        if behind_long:
            for _ in range(3):
                bench.add((5,) * 2000, max_new_tokens=50)
            bench.generator.step()
        shorts = [bench.add((7, at), max_new_tokens=1) for at in range(4)]
        for _ in range(10):
            bench.generator.step()
        found = [next(short).usage for short in shorts]
        return [usage.steps_to_first_token for usage in found if usage is not None]

    for budget in (16, 64, 256):
        alone, behind = steps(behind_long=False, budget=budget), steps(behind_long=True, budget=budget)
        assert len(alone) == len(behind) == 4
        assert all(late - early <= 2 for early, late in zip(alone, behind, strict=True))


def test_nobody_enters_without_room_for_all_its_tokens_and_who_never_fits_is_refused() -> None:
    bench = Bench(tokens=20)
    first, second = bench.add((1,) * 8), bench.add((2,) * 8)
    bench.generator.step()
    assert len(bench.pool.slots) == 1
    bench.run()
    assert next(first).finish_reason == next(second).finish_reason == "length"
    with pytest.raises(ValueError, match="21 tokens, which take 2688 bytes of cache; there are 2560"):
        bench.add((1,) * 13)


def test_a_cancelled_text_frees_its_cache_at_once_wherever_it_is() -> None:
    bench = Bench(tokens=24)
    running, waiting = bench.add((1,) * 8), bench.add((2,) * 8)
    bench.generator.step()
    assert bench.pool.used_bytes > 0
    waiting.close()
    running.close()
    assert bench.pool.used_bytes == 0
    assert not bench.generator.has_work
    running.close()


def test_a_pass_that_fails_ends_its_own_texts_and_no_others() -> None:
    bench = Bench()
    early = bench.add((3, 4), max_new_tokens=6)
    bench.generator.step()
    bench.network.failing_calls = {bench.network.calls + 2}
    late = bench.add((5,) * 12)
    bench.run()
    with pytest.raises(RuntimeError, match="on fire"):
        next(late)
    assert next(early).tokens == recomputed(TinyNetwork(), (3, 4), 6)
    assert not bench.pool.slots


def test_a_lead_stands_before_the_text_whatever_the_chunks() -> None:
    lead = torch.randn(11, 16, generator=torch.Generator().manual_seed(0))

    def made(chunk: int) -> tuple[int, ...]:
        bench = Bench(prompt_tokens_per_step=chunk)
        prompt = Prompt(tokens=(3, 4, 5), lead=lead, lead_content=tuple(range(-11, 0)))
        options = GenerationOptions(max_new_tokens=9, ignore_end=True)
        frames = bench.generator.add(prompt, options, streaming=False)
        bench.run()
        return next(frames).tokens

    assert made(4) == made(64) == made(2)
    assert made(64) != Bench().text((3, 4, 5), max_new_tokens=9).tokens


@pytest.mark.parametrize("real_cache", [False, True])
def test_a_thousand_texts_with_cancels_end_once_each_and_leave_nothing(real_cache: bool) -> None:
    chance = random.Random(4)  # noqa: S311
    bench = Bench(TinyNetwork(layers=1, width=8), tokens=600, places=24, prompt_tokens_per_step=32)
    cache = None
    if real_cache:
        shape = bench.network.cache_shape
        budget = 32 * shape.bytes_per_token * 40
        settings = CacheSettings(group_tokens=8, recent_window=32)
        cache = CachePool(shape, budget, context_length=128, settings=settings)
        bench.use(cache, places=24, prompt_tokens_per_step=32)
    ends: dict[int, int] = {}
    open_: dict[int, TextFrames] = {}
    added = cancelled = 0
    while added < 1000 or open_:
        while added < 1000 and len(open_) < 60:
            prompt = [chance.randrange(VOCABULARY) for _ in range(chance.randint(1, 30))]
            options = {
                "max_new_tokens": chance.randint(1, 4),
                "temperature": chance.choice((0.0, 1.0)),
                "speculation": chance.choice(("off", "off", "ngram", "draft")),
                "ignore_end": False,
                "seed": added,
            }
            open_[added] = bench.add(prompt, streaming=chance.random() < 0.5, **options)
            added += 1
        bench.generator.step()
        for number, frames in list(open_.items()):
            if chance.random() < 0.02:
                frames.close()
                del open_[number]
                cancelled += 1
                continue
            while number in open_ and frames.ready:
                if next(frames).finish_reason is not None:
                    ends[number] = ends.get(number, 0) + 1
                    with pytest.raises(StopIteration):
                        next(frames)
                    del open_[number]
    assert cancelled > 50
    assert len(ends) == 1000 - cancelled
    assert set(ends.values()) == {1}
    assert not bench.generator.has_work
    assert bench.pool.slots == bench.draft_pool.slots == []
    assert bench.pool.peak_bytes <= bench.pool.budget_bytes
    if cache is not None:
        assert cache.open_slots == 0
        cache.forget_prefixes()
        assert cache.used_bytes == 0
        assert cache.free_bytes == cache.budget_bytes


def test_what_ends_is_counted() -> None:
    bench = Bench()
    bench.text((3, 4), max_new_tokens=5)
    report = bench.generator.report()
    assert report["prompt_tokens"] == 2
    assert report["generated_tokens"] == 5
    assert report["active_sequences"] == 0
    assert len(report["first_token_seconds"]) == len(report["token_seconds"]) == 1
    assert bench.generator.report()["first_token_seconds"] == []
