"""Sequences that begin alike share blocks; what anybody uses is never evicted, and results are those without sharing."""

from __future__ import annotations

import pytest
import torch

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.blocks import Block
from atheria_server.models.text.cache.pool import CachePool
from atheria_server.models.text.cache.prefixes import PrefixIndex, block_digests
from tests.unit.server.models.text.cache.told import SHAPE, append, furthest

SETTINGS = (
    CacheSettings(recent_window=4, group_tokens=4),
    CacheSettings(precision=CachePrecision.INT4, recent_window=8, group_tokens=4),
)


def pool_of(settings: CacheSettings, tokens: int = 400, prefix_bytes: int | None = None) -> CachePool:
    return CachePool(
        SHAPE,
        tokens * SHAPE.bytes_per_token,
        context_length=40,
        settings=settings,
        prefix_bytes=prefix_bytes,
    )


def test_a_digest_is_of_everything_up_to_the_end_of_its_block() -> None:
    digests = block_digests([1, 2, 3, 4, 5, 6, 7], 2)
    assert len(digests) == 3
    assert digests[:2] == block_digests([1, 2, 3, 4, 9], 2)
    assert digests[1] != block_digests([9, 2, 3, 4], 2)[1]
    assert block_digests([-(2**63), 2**63 - 1], 2)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.precision)
def test_a_reused_beginning_gives_the_same_as_computing_it(settings: CacheSettings) -> None:
    prompt, other = list(range(23)), [*range(18), 77, 78, 79]
    pool, without = pool_of(settings), pool_of(settings, prefix_bytes=0)
    first = pool.open(30, prompt, reusable=22)
    assert first.length == 0
    append(pool, [(first, prompt, 23)])
    second, alone = pool.open(30, other, reusable=20), without.open(30, other, reusable=20)
    assert (second.length, alone.length) == (16, 0)
    with_hit = append(pool, [(second, other, 5), (first, [*prompt, 1], 1)])[0]
    computed = append(without, [(alone, other, 21)])[0]
    for layer in range(SHAPE.layers):
        for got, expected in zip(with_hit[layer], computed[layer], strict=True):
            assert torch.equal(got, expected)
    for _ in range(9):
        other.append(5)
        with_hit = append(pool, [(second, other, 1)])[0]
        computed = append(without, [(alone, other, 1)])[0]
        assert all(
            torch.equal(got, expected)
            for layer in range(SHAPE.layers)
            for got, expected in zip(with_hit[layer], computed[layer], strict=True)
        )
    assert (pool.hit_tokens, pool.looked_up_tokens) == (16, 42)


def test_no_more_is_reused_than_the_caller_allows() -> None:
    pool = pool_of(SETTINGS[0])
    first = pool.open(16, list(range(16)))
    append(pool, [(first, list(range(16)), 16)])
    assert pool.open(16, list(range(16)), reusable=15).length == 12
    assert pool.open(16, list(range(16)), reusable=3).length == 0


def test_what_a_closed_sequence_generated_is_reused_if_its_content_is_told() -> None:
    pool = pool_of(SETTINGS[0])
    slot = pool.open(20, [1, 2, 3])
    append(pool, [(slot, [1, 2, 3], 3)])
    append(pool, [(slot, [1, 2, 3, 4, 5, 6, 7, 8, 9], 6)])
    slot.close([1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert pool.used_bytes == pool.bytes_for(8)
    again = pool.open(20, [1, 2, 3, 4, 5, 6, 7, 8, 50, 51], reusable=9)
    assert again.length == 8
    tokens = [1, 2, 3, 4, 5, 6, 7, 8, 50, 51]
    assert furthest(append(pool, [(again, tokens, 2)])[0], tokens) == 0


def test_kept_beginnings_give_way_to_open_sequences_but_not_what_is_in_use() -> None:
    pool = pool_of(SETTINGS[0], tokens=44)
    kept, used = list(range(16)), list(range(50, 66))
    for prompt in (kept, used):
        slot = pool.open(16, prompt)
        append(pool, [(slot, prompt, 16)])
        slot.close()
    assert pool.prefix_blocks == 8
    reader = pool.open(20, [*used, 1], reusable=16)
    assert reader.length == 16
    big = pool.open(24, list(range(200, 224)))
    append(pool, [(big, list(range(200, 224)), 24)])
    assert pool.open_slots == 2
    assert furthest(append(pool, [(reader, [*used, 1], 1)])[0], [*used, 1]) == 0
    big.close()
    reader.close()
    assert pool.open(20, [*kept, 1], reusable=16).length == 0
    assert pool.open(20, [*used, 1], reusable=16).length == 16


def test_a_sequence_cut_back_into_a_shared_block_goes_on_in_a_copy() -> None:
    pool = pool_of(SETTINGS[0])
    prompt = list(range(8))
    first = pool.open(12, prompt)
    append(pool, [(first, prompt, 8)])
    second = pool.open(12, [*prompt, 9], reusable=8)
    second.truncate(6)
    append(pool, [(second, [*prompt[:6], 40], 1)])
    assert furthest(append(pool, [(first, [*prompt, 1], 1)])[0], [*prompt, 1]) == 0
    first.close()
    second.close()
    assert pool.open(12, [*prompt, 9], reusable=8).length == 8


def test_no_more_bytes_are_kept_than_allowed() -> None:
    pool = pool_of(SETTINGS[0], prefix_bytes=3 * 4 * SHAPE.bytes_per_token)
    for start in (0, 100, 200):
        prompt = list(range(start, start + 9))
        slot = pool.open(12, prompt)
        append(pool, [(slot, prompt, 9)])
        slot.close()
        assert pool.prefix_blocks <= 3
    assert pool.used_bytes == 3 * 4 * SHAPE.bytes_per_token
    assert pool.open(12, list(range(200, 209)), reusable=8).length == 8
    pool.forget_prefixes()
    assert pool.prefix_blocks == 0


def test_ends_are_evicted_before_beginnings_and_the_oldest_first() -> None:
    gone: list[Block] = []
    index = PrefixIndex(5, gone.append)
    old, new = block_digests([1, 2, 3], 1), block_digests([7, 8], 1)
    blocks = [Block(index=place, references=0) for place in range(5)]
    index.keep(old, blocks[:3])
    index.keep(new, blocks[3:])
    assert index.evict()
    assert gone == [blocks[2]]
    assert [block.index for block in index.longest(old)[1]] == [0, 1]
    assert index.evict()
    assert gone[-1] is blocks[4]
    assert index.evict()
    assert gone[-1] is blocks[3]
    assert not index.evict()  # the caller of `longest` holds the other two
    assert len(index) == 2


def test_a_sequence_that_lacks_blocks_in_the_middle_keeps_what_is_before() -> None:
    index = PrefixIndex(9, list[Block]().append)
    digests = block_digests([1, 2, 3], 1)
    index.keep(digests, [Block(index=0), None, Block(index=2)])
    assert len(index) == 1


def test_reused_beginnings_of_a_compressed_pool_never_keep_another_sequence_out() -> None:
    prompt = list(range(32))
    pool = pool_of(SETTINGS[1], tokens=80)
    first = pool.open(40, [*prompt, 1])
    append(pool, [(first, [*prompt, 1], 33)])
    first.close()
    counted, opened = 0, []
    while counted + pool.bytes_for(40) <= pool.budget_bytes:
        slot = pool.open(40, [*prompt, 2], reusable=32)
        counted += pool.bytes_for(40)
        opened.append(slot)
        assert pool.allocated_bytes <= pool.budget_bytes
    assert len(opened) > 2
    assert any(slot.length for slot in opened)
    for slot in opened:
        tokens = [*prompt, 2][: slot.length] or prompt[:1]
        tokens = [*tokens, 2] if slot.length else tokens
        seen = append(pool, [(slot, tokens, len(tokens) - slot.length)])[0]
        assert furthest(seen, tokens) <= 0.15
        assert pool.allocated_bytes <= pool.budget_bytes
    assert pool.free_bytes == pool.budget_bytes - counted
