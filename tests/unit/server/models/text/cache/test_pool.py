"""The pool keeps each sequence's own tokens, counts bytes as allocated and never takes more than its budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.pool import CacheFullError, CachePool
from tests.unit.server.models.text.cache.told import SHAPE, append, furthest

FULL = CacheSettings(recent_window=4, group_tokens=4)
LARGEST_ERROR = {CachePrecision.INT8: 0.01, CachePrecision.INT4: 0.15, CachePrecision.INT2: 0.75}
"""Half a step of values from -2 to 2."""


def packed(precision: CachePrecision) -> CacheSettings:
    return CacheSettings(precision=precision, recent_window=8, group_tokens=4)


def pool_of(
    settings: CacheSettings = FULL, tokens: int = 200, context: int = 48, prefix_bytes: int | None = 0
) -> CachePool:
    return CachePool(
        SHAPE,
        tokens * SHAPE.bytes_per_token,
        context_length=context,
        settings=settings,
        prefix_bytes=prefix_bytes,
    )


def storages(pool: CachePool) -> int:
    return sum(
        tensor.untyped_storage().nbytes()
        for part in (pool._exact, pool._packed)
        for tensors in part.layers
        for tensor in tensors.values()
    )


def test_rows_of_different_lengths_read_back_what_was_written() -> None:
    pool = pool_of()
    long, short = pool.open(40), pool.open(10)
    a, b = list(range(17)), list(range(100, 103))
    append(pool, [(long, a, 17)])
    seen = append(pool, [(short, b, 3), (long, [*a, 9], 1)])
    assert furthest(seen[0], b) == furthest(seen[1], [*a, 9]) == 0
    assert (long.length, short.length) == (18, 3)


@pytest.mark.parametrize("precision", [CachePrecision.INT8, CachePrecision.INT4, CachePrecision.INT2])
def test_compressed_tokens_are_near_and_those_of_the_recent_window_are_exact(
    precision: CachePrecision,
) -> None:
    pool = pool_of(packed(precision))
    slot, other = pool.open(40), pool.open(40)
    tokens = list(range(19))
    assert (
        furthest(append(pool, [(slot, tokens, 19)])[0], tokens) == 0
    )  # a pass attends to its own tokens exactly
    for token in range(15):
        tokens.append(token)
        aside = [7] * (token + 1)
        seen = append(pool, [(other, aside, 1), (slot, tokens, 1)])
        assert 0 < furthest(seen[1], tokens) <= LARGEST_ERROR[precision]
        # Between 5 and 8 tokens are exact behind a step, and the new one is as well.
        assert furthest(seen[1], tokens, first=len(tokens) - 6) == 0
        assert furthest(seen[0], aside, first=max(0, len(aside) - 6)) == 0


def test_bytes_are_those_of_the_allocated_tensors() -> None:
    for settings in (FULL, *map(packed, LARGEST_ERROR)):
        pool = pool_of(settings)
        slot = pool.open(37)
        append(pool, [(slot, list(range(37)), 37)])
        pool.trim()
        assert pool.allocated_bytes == storages(pool) == pool.used_bytes == pool.bytes_for(37)
        slot.close()
        assert pool.allocated_bytes == storages(pool) == pool.used_bytes == 0


def test_int4_bytes_of_a_token_are_codes_scales_and_zero_points() -> None:
    settings = CacheSettings(precision=CachePrecision.INT4, recent_window=4, group_tokens=4, group_channels=8)
    pool = pool_of(settings)
    exact, heads_and_layers = 4 * SHAPE.bytes_per_token, SHAPE.layers * SHAPE.kv_heads
    keys = 4 * 8 // 2 + 2 * 2 * 8
    values = 4 * 8 // 2 + 2 * 2 * 4
    assert pool.bytes_for(8) == exact + heads_and_layers * (keys + values)


def test_a_sequence_that_does_not_fit_is_refused_until_another_closes() -> None:
    pool = pool_of(tokens=60)
    first = pool.open(40)
    with pytest.raises(CacheFullError, match="wait until another sequence is closed"):
        pool.open(24)
    assert pool.free_bytes == pool.bytes_for(20)
    second = pool.open(20)
    assert pool.free_bytes == 0
    first.close()
    first.close()
    pool.open(40)
    assert second.open
    assert pool.open_slots == 2


def test_open_sequences_never_run_out_of_bytes_whatever_the_order_of_their_steps() -> None:
    pool = pool_of(packed(CachePrecision.INT4), tokens=60, prefix_bytes=None)
    slots = []
    while pool.bytes_for(24) <= pool.free_bytes:
        slots.append(pool.open(24, content=[len(slots)] * 20, reusable=19))
    assert len(slots) > 2
    for length in range(24):
        append(pool, [(slot, [row] * (length + 1), 1) for row, slot in enumerate(slots)])
        assert pool.allocated_bytes <= pool.budget_bytes
    assert all(slot.length == 24 for slot in slots)


def test_what_is_wrong_with_a_step_is_said_before_anything_changes() -> None:
    pool = pool_of()
    slot, closed = pool.open(4), pool.open(4)
    closed.close()
    for rows, words in (
        ([(slot, 5)], "allowed is 1 to 4"),
        ([(slot, 0)], "allowed is 1 to 4"),
        ([(closed, 1)], "closed"),
        ([(slot, 1), (slot, 1)], "different"),
        ([], "one or more"),
    ):
        with pytest.raises(ValueError, match=words):
            pool.step(rows)
    with pytest.raises(ValueError, match="allowed is 1 to 48"):
        pool.open(49)
    with pytest.raises(ValueError, match="allowed is 0 to 0"):
        slot.truncate(1)
    assert append(pool, [(slot, [1, 2, 3, 4], 4)])


def test_a_pass_that_failed_leaves_nothing_behind_once_its_slots_are_closed() -> None:
    pool = pool_of()
    broken, other = pool.open(8), pool.open(8)
    append(pool, [(other, [1, 2, 3], 3)])
    pool.step([(broken, 5)])
    with pytest.raises(ValueError, match="neither committed"):
        pool.step([(other, 1)])
    with pytest.raises(ValueError, match="neither committed"):
        other.truncate(1)
    broken.close()
    assert furthest(append(pool, [(other, [1, 2, 3, 4], 1)])[0], [1, 2, 3, 4]) == 0
    other.close()
    assert pool.used_bytes == 0


def test_a_sequence_closed_during_its_step_is_not_committed_and_others_are() -> None:
    pool = pool_of()
    gone, stays = pool.open(8), pool.open(8)
    step = pool.step([(gone, 2), (stays, 2)])
    gone.close()
    step.commit()
    assert stays.length == 2
    stays.close()
    assert pool.used_bytes == 0


def test_a_budget_below_one_context_is_refused() -> None:
    with pytest.raises(ValueError, match="raise the budget"):
        pool_of(tokens=47)


@pytest.mark.parametrize(("length", "exact"), [(30, True), (18, False), (16, False), (0, True)])
def test_a_truncated_compressed_sequence_goes_on_from_there(length: int, exact: bool) -> None:
    pool = pool_of(packed(CachePrecision.INT8))
    slot = pool.open(48)
    tokens = list(range(33))
    append(pool, [(slot, tokens, 33)])
    slot.truncate(length)
    tokens = [*tokens[:length], 5, 6]
    seen = append(pool, [(slot, tokens, 2)])[0]
    assert furthest(seen, tokens) <= LARGEST_ERROR[CachePrecision.INT8]
    assert (furthest(seen, tokens, first=max(0, length - 2)) == 0) is exact
    slot.close()
    assert pool.used_bytes == 0


@pytest.mark.parametrize("precision", [CachePrecision.FULL, CachePrecision.INT8])
def test_a_sequence_that_fills_the_budget_is_cut_back_into_a_beginning_that_was_kept_of_it(
    precision: CachePrecision,
) -> None:
    settings = replace(packed(precision), recent_window=4)
    pool = pool_of(settings, tokens=4, context=4, prefix_bytes=None)
    slot = pool.open(4, [1, 2, 3, 4])
    append(pool, [(slot, [1, 2, 3, 4], 4)])
    assert pool.prefix_blocks == 1
    slot.truncate(3)
    assert furthest(append(pool, [(slot, [1, 2, 3, 9], 1)])[0], [1, 2, 3, 9]) == 0
    slot.close()
    assert pool.open(4, [1, 2, 3, 4], reusable=3).length == 0


def test_a_nan_of_one_sequence_reaches_no_other() -> None:
    for settings in (FULL, packed(CachePrecision.INT4)):
        pool = pool_of(settings)
        broken = pool.open(12)
        step = pool.step([(broken, 12)])
        with torch.inference_mode():
            for layer in range(SHAPE.layers):
                step.update(layer, *torch.full((2, 1, SHAPE.kv_heads, 12, SHAPE.head_size), torch.nan))
        step.commit()
        long = pool.open(20)
        append(pool, [(long, list(range(20)), 20)])
        broken.close()
        short = pool.open(12)
        # `append` asserts that all that it gets is finite, the padding included.
        append(pool, [(short, [1], 1)])
        long.close()
        both = pool.open(20)
        append(pool, [(both, list(range(9)), 9), (short, [1, 2], 1)])
