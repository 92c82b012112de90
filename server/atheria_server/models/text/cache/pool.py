"""The cache of all sequences of a worker: opened, stepped, cut back and closed by the generator, within a budget of bytes.

Sequences hold blocks of tokens: exact ones, and in the compressed precisions packed ones for what is older than the recent
window. Admission is additive: slots may be opened while the `bytes_for` of all open ones fit the budget, and no step of an
open slot then fails for memory. Closed sequences' beginnings stay for later calls until their bytes are needed. Where all layers
attend to a window, what is behind it is given back and not counted. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.engine.out_of_memory import is_out_of_memory
from atheria_server.models.text.cache.blocks import BlockPool, Plane
from atheria_server.models.text.cache.exact_step import ExactStep
from atheria_server.models.text.cache.packed_step import PackedStep
from atheria_server.models.text.cache.prefixes import PrefixIndex, block_digests
from atheria_server.models.text.cache.quantised import schemes
from atheria_server.models.text.cache.sliding import Sliding
from atheria_server.models.text.cache.slot import Slot
from atheria_server.models.text.cache.step_plan import RowPlan
from atheria_server.models.text.causal import CacheShape
from atheria_server.models.text.pool import Slot as AnySlot

_FULL = CacheSettings()
_LEAST_GROWTH_BLOCKS = 8


class CacheFullError(RuntimeError):
    """No bytes for one more sequence now; there are when others are closed."""


class CachePool:
    """See the module's text."""

    def __init__(
        self,
        shape: CacheShape,
        budget_bytes: int,
        *,
        context_length: int,
        settings: CacheSettings = _FULL,
        prefix_bytes: int | None = None,
        step_tokens: int | None = None,
        undone_tokens: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """`prefix_bytes`: most bytes of beginnings kept for later calls, within the budget; None = all of it, 0 = none.

        `step_tokens`: most new tokens of one sequence in a step, None = any number; what is behind a window is kept then.
        `undone_tokens`: most tokens before those of the last step that `truncate` is asked to forget as well.

        Raises ValueError if settings and shape do not go together, or a sequence of `context_length` does not fit the budget.
        """
        self.budget_bytes = budget_bytes
        self.context_length = context_length
        self.hit_tokens = 0
        """Positions that the prefix index had, of all slots so far."""
        self.looked_up_tokens = 0
        """Positions that it was asked for."""
        self._settings = settings
        self._tokens = settings.group_tokens
        self._compressed = settings.precision is not CachePrecision.FULL
        tail = (self._tokens, shape.head_size)
        exact_planes = [Plane(name=name, tail=tail, dtype=shape.dtype) for name in ("keys", "values")]
        self._sliding = (
            Sliding(
                window=shape.window,
                step_tokens=step_tokens,
                block_tokens=self._tokens,
                undone_tokens=undone_tokens,
            )
            if shape.window and step_tokens
            else None
        )
        self._schemes = schemes(shape, settings) if self._compressed else None
        packed_planes = [plane for scheme in self._schemes or () for plane in scheme.planes]
        self._exact, self._packed = (
            BlockPool(planes, layers=shape.layers, kv_heads=shape.kv_heads, device=device)
            for planes in (exact_planes, packed_planes)
        )
        if self.bytes_for(context_length) > budget_bytes:
            raise ValueError(
                f"the cache's budget is {budget_bytes} bytes, and one sequence of {context_length} tokens takes "
                f"{self.bytes_for(context_length)}: raise the budget, or lower the context or the precision"
            )
        most = budget_bytes if prefix_bytes is None else min(prefix_bytes, budget_bytes)
        self._prefixes = PrefixIndex(
            most // self._exact.block_bytes, self._exact.give_back, has_gaps=self._sliding is not None
        )
        self._reserved_bytes = 0
        self._open_slots = 0
        self._under_way: list[Slot] = []
        self._can_abandon = True
        self._exact_beginnings: list[Slot] = []
        """Slots of a compressed pool that hold more than `bytes_for` until their first step is committed."""

    @property
    def used_bytes(self) -> int:
        """Of blocks that sequences or the prefix index hold."""
        return self._bytes(self._exact.used, self._packed.used)

    @property
    def prefix_blocks(self) -> int:
        """Blocks that the prefix index knows, shared ones included."""
        return len(self._prefixes)

    @property
    def allocated_bytes(self) -> int:
        """Of all tensors, room for more blocks included; never more than the budget."""
        return self._exact.allocated_bytes + self._packed.allocated_bytes

    @property
    def free_bytes(self) -> int:
        """What may still be reserved: a slot of `bytes_for(capacity)` up to this can be opened at once."""
        return self.budget_bytes - self._reserved_bytes

    @property
    def open_slots(self) -> int:
        """Sequences."""
        return self._open_slots

    def bytes_for(self, tokens: int) -> int:
        """Of the blocks that a sequence of at most `tokens` tokens takes, scales and zero points included."""
        blocks = -(-tokens // self._tokens)
        held = blocks if self._sliding is None else min(blocks, self._sliding.most_blocks)
        exact = min(blocks - self._packed_blocks(tokens), held)
        return self._bytes(exact, held - exact)

    def tokens_of(self, blocks: int) -> int:
        """That so many blocks hold."""
        return blocks * self._tokens

    def open(self, capacity: int, content: Sequence[int] = (), reusable: int = 0) -> Slot:
        """A sequence of at most `capacity` tokens.

        `content` is one int (64 bits, signed) per position of the prompt: whatever decides keys and values there must be in it
        or in an earlier one. Up to `reusable` leading positions may come from sequences that began alike: `Slot.length` says
        how many. Raises CacheFullError, and ValueError for a capacity that never fits.
        """
        if not 1 <= capacity <= self.context_length:
            raise ValueError(
                f"capacity is {capacity}; allowed is 1 to {self.context_length}, the context's tokens"
            )
        needed = self.bytes_for(capacity)
        if needed > self.free_bytes:
            self._pack_beginnings()
        if needed > self.free_bytes:
            raise CacheFullError(
                f"{capacity} tokens take {needed} bytes of cache and {self.free_bytes} of {self.budget_bytes} are free: "
                "wait until another sequence is closed"
            )
        digests = block_digests(content, self._tokens) if self._prefixes.enabled else ()
        slot = Slot(pool=self, capacity=capacity, reserved_bytes=needed, digests=digests)
        slot.released, slot.exact = self._prefixes.longest(
            digests[: min(reusable, capacity) // self._tokens], self._needed
        )
        # Until its first step, a compressed sequence holds an exact beginning that `bytes_for` does not count.
        beyond = self._bytes(len(slot.exact), 0) if self._compressed else 0
        if beyond > self.free_bytes - needed:
            while slot.exact:
                self._exact.give_back(slot.exact.pop())
            beyond = slot.released = 0
        slot.reserved_bytes += beyond
        if beyond:
            self._exact_beginnings.append(slot)
        slot.length = (slot.released + len(slot.exact)) * self._tokens
        self.looked_up_tokens += reusable
        self.hit_tokens += slot.length
        self._reserved_bytes += slot.reserved_bytes
        self._open_slots += 1
        return slot

    def step(self, rows: Sequence[tuple[AnySlot, int]]) -> ExactStep | PackedStep:
        """A pass of the model over some slots, each with how many of its new tokens are real, 1 or more.

        Rows of fewer new tokens than others are padded behind. Behind a pass that failed, close its slots instead of
        `commit`. Raises ValueError for a slot that is closed, stands twice or would be longer than its capacity, and while
        another step is under way.
        """
        own = self._checked(rows)
        for slot, _ in own:
            self._release(slot)
        kept = self._room_for_step(own)
        plans = [self._plan(slot, new, keep=keep) for (slot, new), keep in zip(own, kept, strict=True)]
        slots = self._under_way = [slot for slot, _ in own]
        self._can_abandon = not any(plan.packed_now for plan in plans)

        def commit() -> None:
            for slot in slots:
                self._commit(slot)

        if self._schemes is None:
            return ExactStep(self._exact, plans, self._tokens, commit)
        return PackedStep(self._exact, self._packed, self._schemes, plans, self._tokens, commit)

    def abandon_step(self) -> bool:
        """Be as before the step under way, if there is one. False if it compresses: what it read may be written over by now."""
        if not self._can_abandon:
            return not any(slot.open and slot.stepping is not None for slot in self._under_way)
        for slot in self._under_way:
            if not slot.open or slot.stepping is None:
                continue
            slot.stepping = None
            while (self._first_exact(slot) + len(slot.exact) - 1) * self._tokens >= slot.length:
                self._exact.give_back(slot.exact.pop())
        return True

    @torch.inference_mode()
    def truncate(self, slot: Slot, length: int) -> None:
        """See Slot. Tokens of a block that was compressed meanwhile stay as the compression left them."""
        self._no_step_under_way()
        least = 0 if self._sliding is None else self._sliding.least_length(slot.released)
        if not slot.open or not least <= length <= slot.length:
            raise ValueError(f"length is {length}; allowed is {least} to {slot.length}, of an open slot")
        slot.digests = slot.digests[: length // self._tokens]
        slot.offered = min(slot.offered, length // self._tokens)
        slot.length = length
        whole, rest = divmod(slot.held, self._tokens)
        if whole < len(slot.packed):
            while slot.exact:
                self._exact.give_back(slot.exact.pop())
            if rest:
                self._restore(slot, whole)
            for block in slot.packed[whole:]:
                self._packed.give_back(block)
            del slot.packed[whole:]
        while len(slot.packed) + len(slot.exact) > whole + bool(rest):
            self._exact.give_back(slot.exact.pop())
        if rest and slot.exact and slot.exact[-1].references > 1:
            self._own_last(slot)

    def close(self, slot: Slot, content: Sequence[int] = ()) -> None:
        """See Slot."""
        if not slot.open:
            return
        if content and slot.stepping is None and self._prefixes.enabled:
            digests = block_digests(content[: slot.length], self._tokens)
            self._prefixes.keep(digests, [*[None] * self._first_exact(slot), *slot.exact])
        for block in (*slot.leaving, *slot.exact):
            self._exact.give_back(block)
        for block in slot.packed:
            self._packed.give_back(block)
        slot.leaving, slot.exact, slot.packed = [], [], []
        slot.open = False
        self._reserve_no_more_than_needed(slot)
        self._reserved_bytes -= slot.reserved_bytes
        self._open_slots -= 1
        for pool in (self._exact, self._packed):
            if not pool.used:
                pool.resize(0)

    def trim(self) -> None:
        """Allocate no more than what is used."""
        self._no_step_under_way()
        self._exact.resize(self._exact.used)
        self._packed.resize(self._packed.used)

    def forget_prefixes(self) -> None:
        """Keep nothing for later calls of what was there so far."""
        self._prefixes.clear()

    def _bytes(self, exact: int, packed: int) -> int:
        return exact * self._exact.block_bytes + packed * self._packed.block_bytes

    def _packed_blocks(self, tokens: int) -> int:
        beyond = tokens - self._settings.recent_window
        return max(0, -(-beyond // self._tokens)) if self._compressed else 0

    def _first_exact(self, slot: Slot) -> int:
        """Number of the first exact block in the sequence."""
        return slot.released + len(slot.packed)

    def _needed(self, blocks: int) -> int:
        """How many of the last blocks of a sequence of so many full ones the next token attends to."""
        return blocks - (0 if self._sliding is None else self._sliding.behind(blocks * self._tokens))

    def _release(self, slot: Slot) -> None:
        """Give back what is behind the window of the next token, and of all that follow."""
        if self._sliding is None:
            return
        for _ in range(self._sliding.behind(slot.length) - slot.released):
            if slot.packed:
                self._packed.give_back(slot.packed.pop(0))
            else:
                self._exact.give_back(slot.exact.pop(0))
            slot.released += 1

    def _checked(self, rows: Sequence[tuple[AnySlot, int]]) -> list[tuple[Slot, int]]:
        self._no_step_under_way()
        if not rows or len({id(slot) for slot, _ in rows}) < len(rows):
            raise ValueError(f"a step has {len(rows)} rows, some twice; expected one or more different slots")
        own = []
        for slot, new in rows:
            if not isinstance(slot, Slot) or slot.pool is not self or not slot.open:
                raise ValueError("a slot of the step is closed or another pool's: use open slots of this one")
            if not 1 <= new <= slot.capacity - slot.length:
                raise ValueError(
                    f"{new} new tokens for a slot of {slot.length} with a capacity of {slot.capacity}; allowed is "
                    f"1 to {slot.capacity - slot.length}: open it with the capacity that it may need"
                )
            if self._sliding is not None and new > self._sliding.step_tokens:
                raise ValueError(
                    f"{new} new tokens of a slot; allowed is 1 to {self._sliding.step_tokens}, the pool's step_tokens"
                )
            own.append((slot, new))
        return own

    def _no_step_under_way(self) -> None:
        # Blocks may move or be evicted by what comes next, and a step has their places.
        if any(slot.open and slot.stepping is not None for slot in self._under_way):
            raise ValueError("a step is neither committed nor are its slots closed: do one of the two first")

    def _room_for_step(self, rows: Sequence[tuple[Slot, int]]) -> list[bool]:
        """Allocate; gives by row whether its whole prompt is written to exact blocks, for the prefix index."""
        kept = [
            self._prefixes.enabled and self._compressed and slot.offered < len(slot.digests)
            for slot, _ in rows
        ]
        if any(kept) and self._make_room(*self._growth(rows, kept)):
            return kept
        kept = [False] * len(rows)
        if not self._make_room(*self._growth(rows, kept)):
            # What this step compresses is exact until then, and evicted only if nobody but the index holds it.
            for slot, new in rows:
                self._prefixes.forget(
                    slot.exact[: max(0, self._packed_blocks(slot.length + new) - self._first_exact(slot))]
                )
            if not self._make_room(*self._growth(rows, kept)):
                raise RuntimeError(
                    f"open sequences hold more than the {self._reserved_bytes} bytes reserved for them: a bug, report it"
                )
        return kept

    def _growth(self, rows: Sequence[tuple[Slot, int]], kept: Sequence[bool]) -> tuple[int, int]:
        """How many exact and packed blocks the step takes more than it gives back."""
        exact = packed = 0
        for (slot, new), keep in zip(rows, kept, strict=True):
            first = self._first_exact(slot)
            held = first + len(slot.exact)
            packed_after = max(first, self._packed_blocks(slot.length + new))
            last = -(-(slot.length + new) // self._tokens)
            taken = last - (held if keep else max(held, packed_after))
            freed = 0 if keep else sum(block.references == 1 for block in slot.exact[: packed_after - first])
            # What one row frees may come too late for the rows before it.
            exact += max(0, taken - freed)
            packed += packed_after - first
        return exact, packed

    def _plan(self, slot: Slot, new: int, *, keep: bool) -> RowPlan:
        """Take and give back the step's blocks, which the step counts from the first that is held. `keep`: write blocks that leave
        the recent window as well, until the commit."""
        before, after, first = slot.length, slot.length + new, self._first_exact(slot)
        held, last = first + len(slot.exact), -(-after // self._tokens)
        packed_after = max(first, self._packed_blocks(after))
        old_packed = [block.index for block in slot.packed]
        old_exact = [block.index for block in slot.exact]
        leaving, slot.exact = slot.exact[: packed_after - first], slot.exact[packed_after - first :]
        if not keep:
            for block in leaving:
                self._exact.give_back(block)
            leaving = []
        written = {}
        if before % self._tokens and (keep or held > packed_after):
            written[held - 1 - slot.released] = (slot.exact or leaving)[-1].index
        for place in range(held if keep else max(held, packed_after), last):
            block = self._exact.take()
            written[place - slot.released] = block.index
            (slot.exact if place >= packed_after else leaving).append(block)
        packed_now = [self._packed.take() for _ in range(packed_after - first)]
        slot.packed.extend(packed_now)
        slot.leaving = leaving
        slot.stepping = new
        return RowPlan(
            before=slot.held,
            new=new,
            packed=old_packed,
            exact=old_exact,
            packed_now=[block.index for block in packed_now],
            written=written,
        )

    def _commit(self, slot: Slot) -> None:
        if not slot.open or slot.stepping is None:
            return
        slot.length += slot.stepping
        slot.stepping = None
        whole = min(slot.length // self._tokens, len(slot.digests))
        if slot.offered < whole:
            unknown = self._first_exact(slot) - len(slot.leaving)
            blocks = [*[None] * unknown, *slot.leaving, *slot.exact]
            self._prefixes.keep(slot.digests[:whole], blocks)
            slot.offered = whole
        while slot.leaving:
            self._exact.give_back(slot.leaving.pop())
        self._reserve_no_more_than_needed(slot)

    @torch.inference_mode()
    def _pack_beginnings(self) -> None:
        """Compress reused beginnings before their first step: it then reads them as later steps do, and they hold no more
        than is counted for them."""
        self._no_step_under_way()
        for slot in list(self._exact_beginnings):
            leaving = slot.exact[: max(0, self._packed_blocks(slot.length) - slot.released)]
            if self._schemes is None or not self._make_room(0, len(leaving)):
                raise RuntimeError("no block to compress a reused beginning: a bug, report it")
            slot.packed = [self._packed.take() for _ in leaving]
            sources, targets = ([block.index for block in blocks] for blocks in (leaving, slot.packed))
            for exact, packed in zip(self._exact.layers, self._packed.layers, strict=True):
                for name, scheme in zip(("keys", "values"), self._schemes, strict=True):
                    if leaving:
                        codes = scheme.pack(exact[name][sources])
                        for plane, part in zip(scheme.planes, codes, strict=True):
                            packed[plane.name][targets] = part
            del slot.exact[: len(leaving)]
            for block in leaving:
                self._exact.give_back(block)
            self._reserve_no_more_than_needed(slot)

    def _reserve_no_more_than_needed(self, slot: Slot) -> None:
        if slot in self._exact_beginnings:
            self._exact_beginnings.remove(slot)
        beyond = slot.reserved_bytes - self.bytes_for(slot.capacity)
        slot.reserved_bytes -= beyond
        self._reserved_bytes -= beyond

    def _restore(self, slot: Slot, place: int) -> None:
        """Make packed block `place` of the sequence the only exact one."""
        if self._schemes is None or not self._make_room(1, 0):
            raise RuntimeError("no exact block for what is left of a compressed one: a bug, report it")
        block, source = self._exact.take(), slot.packed[place].index
        for exact, packed in zip(self._exact.layers, self._packed.layers, strict=True):
            for name, scheme in zip(("keys", "values"), self._schemes, strict=True):
                scheme.unpack(
                    tuple(packed[plane.name][source] for plane in scheme.planes), exact[name][block.index]
                )
        slot.exact = [block]

    def _own_last(self, slot: Slot) -> None:
        """Others read the last block too: go on in a copy, or where none fits in the block itself, which only the index has as well."""
        shared = slot.exact[-1]
        if not self._make_room(1, 0):
            self._prefixes.forget([shared])
            if shared.references == 1:
                return
            raise RuntimeError("no block for a copy of a shared one: a bug, report it")
        own = self._exact.take()
        self._exact.copy(shared, own)
        self._exact.give_back(shared)
        slot.exact[-1] = own

    def _make_room(self, exact: int, packed: int) -> bool:
        """Have so many free blocks, evicting beginnings if need be; False if even then there is no room."""
        while self._bytes(self._exact.used + exact, self._packed.used + packed) > self.budget_bytes:
            if not self._prefixes.evict():
                return False
        exact, packed = self._exact.used + exact, self._packed.used + packed
        self._grow(self._exact, exact, self._packed, packed)
        self._grow(self._packed, packed, self._exact, exact)
        return True

    def _grow(self, pool: BlockPool, needed: int, other: BlockPool, needed_of_other: int) -> None:
        """Have `needed` blocks, some more if they fit, and if need be what the other pool does not need."""
        if pool.count >= needed:
            return
        if self._most(pool, other, other.count) < needed:
            other.resize(needed_of_other)
        wanted = max(needed, pool.count + max(_LEAST_GROWTH_BLOCKS, pool.count // 2))
        try:
            pool.resize(min(wanted, self._most(pool, other, max(other.count, needed_of_other))))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            pool.resize(needed)

    def _most(self, pool: BlockPool, other: BlockPool, blocks_of_other: int) -> int:
        return (self.budget_bytes - blocks_of_other * other.block_bytes) // pool.block_bytes
