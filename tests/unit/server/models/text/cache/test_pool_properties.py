"""Whatever is opened, stepped, cut back and closed in whatever order: bytes add up, nothing leaks, no sequence sees another's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.models.text.cache.pool import CacheFullError, CachePool, Slot
from tests.unit.server.models.text.cache.told import SHAPE, append, furthest

CONTEXT = 24
STEP_TOKENS = 7
WINDOW = 6
BEGINNINGS = ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 9, 9, 9, 9], [6])


class PoolMachine(RuleBasedStateMachine):
    """The model is each open slot's tokens."""

    settings_of_pool = CacheSettings(recent_window=4, group_tokens=4)
    largest_error = 0.0
    undone_tokens = 0
    shape = SHAPE
    beginnings: tuple[list[int], ...] = BEGINNINGS

    def pool_of(self, budget_bytes: int) -> CachePool:
        return CachePool(
            self.shape,
            budget_bytes,
            context_length=CONTEXT,
            settings=self.settings_of_pool,
            step_tokens=STEP_TOKENS,
            undone_tokens=self.undone_tokens,
        )

    def __init__(self) -> None:
        super().__init__()
        self.pool = self.pool_of(72 * SHAPE.bytes_per_token)
        self.open: dict[Slot, list[int]] = {}
        self.begun: dict[Slot, int] = {}
        """Length before the furthest step: what is not older than `undone_tokens` more may be taken back."""
        self.asked: dict[Slot, list[int]] = {}

    @initialize(data=st.data())
    def has_room_for_one_context_or_more(self, data: st.DataObject) -> None:
        least, most = self.pool.bytes_for(CONTEXT), self.pool.budget_bytes
        self.pool = self.pool_of(data.draw(st.just(least) | st.integers(least, most)))

    @rule(capacity=st.integers(1, CONTEXT), beginning=st.integers(0, 2), more=st.integers(0, 1))
    def open_one(self, capacity: int, beginning: int, more: int) -> None:
        prompt = [*self.beginnings[beginning], more][:capacity]
        held = sum(self.pool.bytes_for(slot.capacity) for slot in self.open)
        fits = held + self.pool.bytes_for(capacity) <= self.pool.budget_bytes
        try:
            slot = self.pool.open(capacity, prompt, reusable=len(prompt) - 1)
        except CacheFullError:
            assert not fits
            return
        assert fits
        self.open[slot] = prompt[: slot.length]
        self.begun[slot] = slot.length
        self.asked[slot] = prompt

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def step_some(self, data: st.DataObject) -> None:
        able = [slot for slot in self.open if slot.length < slot.capacity]
        if not able:
            return
        chosen = data.draw(st.lists(st.sampled_from(able), min_size=1, max_size=4, unique=True))
        rows = []
        for slot in chosen:
            tokens = self.open[slot]
            rest = self.asked[slot][len(tokens) :]
            most = min(slot.capacity - slot.length, STEP_TOKENS)
            count = data.draw(st.integers(1, most))
            self.begun[slot] = max(self.begun[slot], slot.length)
            tokens += (rest + [3] * count)[:count]
            rows.append((slot, tokens, count))
        held = append(self.pool, rows)
        for (slot, tokens, _), seen in zip(rows, held, strict=True):
            assert slot.length == len(tokens)
            assert furthest(seen, tokens) <= self.largest_error
        for (_, tokens, count), seen in zip(rows, held, strict=True):
            visible = len(tokens) if self.shape.window is None else self.shape.window - 1 + count
            assert seen[0][0].shape[1] >= min(len(tokens), visible)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cut_back(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(list(self.open)))
        least = slot.released * 4 + WINDOW - 1 if slot.released else 0
        assert least <= max(0, self.begun[slot] - self.undone_tokens)
        length = data.draw(st.integers(least, slot.length))
        slot.truncate(length)
        del self.open[slot][length:]
        # What follows need not be the prompt any more.
        self.asked[slot] = self.open[slot]

    @precondition(lambda self: self.open)
    @rule(data=st.data(), told=st.booleans())
    def close_one(self, data: st.DataObject, told: bool) -> None:
        slot = data.draw(st.sampled_from(list(self.open)))
        tokens = self.open.pop(slot)
        slot.close(tokens if told else ())

    @rule()
    def trim(self) -> None:
        self.pool.trim()
        assert self.pool.allocated_bytes == self.pool.used_bytes

    @invariant()
    def bytes_are_those_of_blocks_and_within_the_budget(self) -> None:
        pool = self.pool
        exact, packed = pool._exact, pool._packed
        held = Counter(id(block) for slot in self.open for block in (*slot.exact, *slot.packed))
        indexed = Counter(id(block) for block in pool._prefixes._blocks.values())
        blocks = {id(block): block for part in (exact, packed) for block in part._taken.values()}
        assert blocks.keys() == held.keys() | indexed.keys()
        assert all(block.references == held[key] + indexed[key] for key, block in blocks.items())
        for part in (exact, packed):
            assert all(index == block.index < part.count for index, block in part._taken.items())
            assert sorted((*part._free, *part._taken)) == list(range(part.count))
            assert part.allocated_bytes == part.count * part.block_bytes
        assert pool.used_bytes == exact.used * exact.block_bytes + packed.used * packed.block_bytes
        assert pool.used_bytes <= pool.allocated_bytes <= pool.budget_bytes
        assert pool.free_bytes >= 0

    def teardown(self) -> None:
        for slot in list(self.open):
            slot.close()
        self.pool.forget_prefixes()
        self.pool.trim()
        assert self.pool.used_bytes == self.pool.allocated_bytes == 0
        assert self.pool.free_bytes == self.pool.budget_bytes


class PackedPoolMachine(PoolMachine):
    """With two compressions on top of each other where a sequence was cut back into a compressed block."""

    settings_of_pool = CacheSettings(precision=CachePrecision.INT4, recent_window=8, group_tokens=4)
    largest_error = 0.3


class SlidingPoolMachine(PoolMachine):
    """All layers attend to a window: what is behind it is given back, and what is in it is there."""

    shape = replace(SHAPE, window=WINDOW)
    beginnings = (list(range(1, 20)), [*range(1, 13), 9, 9, 9, 9], [6])

    @invariant()
    def no_sequence_holds_more_than_its_window_and_a_step(self) -> None:
        most = -(-(WINDOW - 1 + self.undone_tokens + STEP_TOKENS) // 4) + 1
        assert all(
            len(slot.exact) + len(slot.packed) <= most
            for slot in self.open
            if slot not in self.pool._exact_beginnings
        )


class PackedSlidingPoolMachine(SlidingPoolMachine):
    """A recent window that is shorter than the layers'."""

    settings_of_pool = CacheSettings(precision=CachePrecision.INT4, recent_window=4, group_tokens=4)
    largest_error = 0.3


class LongRecentPoolMachine(SlidingPoolMachine):
    """A recent window that is longer than the layers': hardly anything is compressed before it is given back."""

    settings_of_pool = CacheSettings(precision=CachePrecision.INT4, recent_window=12, group_tokens=4)
    largest_error = 0.3


class UndoingPoolMachine(SlidingPoolMachine):
    """Tokens of several steps are taken back, as a draft's are."""

    undone_tokens = 5


class PackedUndoingPoolMachine(PackedSlidingPoolMachine):
    """The same with blocks that were compressed meanwhile."""

    undone_tokens = 5


TestExactPool = PoolMachine.TestCase
TestPackedPool = PackedPoolMachine.TestCase
TestSlidingPool = SlidingPoolMachine.TestCase
TestPackedSlidingPool = PackedSlidingPoolMachine.TestCase
TestLongRecentPool = LongRecentPoolMachine.TestCase
TestUndoingPool = UndoingPoolMachine.TestCase
TestPackedUndoingPool = PackedUndoingPoolMachine.TestCase
TestExactPool.settings = TestPackedPool.settings = TestSlidingPool.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestPackedSlidingPool.settings = TestLongRecentPool.settings = TestExactPool.settings
TestUndoingPool.settings = TestPackedUndoingPool.settings = TestExactPool.settings
