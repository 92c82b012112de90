"""Blocks that several calls share because their sequences begin alike: by the hash of all tokens up to the block's end.

Pure bookkeeping over blocks, no torch; used by `pool.CachePool`. What is here holds one reference to its block; blocks that
nobody else holds can be evicted, least recently used first and ends before beginnings.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

from atheria_server.models.text.cache.blocks import Block


def block_digests(content: Sequence[int], block_tokens: int) -> tuple[bytes, ...]:
    """One digest per full block of `content`, each over everything up to its end.

    `content` has an int of 64 bits, signed, per position; whatever decides keys and values of a position must be in it or in
    an earlier one.
    """
    chain = hashlib.blake2b(digest_size=16)
    digests = []
    for start in range(0, len(content) - block_tokens + 1, block_tokens):
        chain.update(array("q", content[start : start + block_tokens]).tobytes())
        digests.append(chain.digest())
    return tuple(digests)


class PrefixIndex:
    """At most `max_blocks` blocks by digest. `give_back` is told of the index's own reference to an evicted block."""

    def __init__(
        self, max_blocks: int, give_back: Callable[[Block], None], *, has_gaps: bool = False
    ) -> None:
        """`has_gaps`: a beginning is of use without its first blocks."""
        self._max_blocks = max_blocks
        self._has_gaps = has_gaps
        self._give_back = give_back
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def enabled(self) -> bool:
        """Whether it ever keeps anything."""
        return self._max_blocks > 0

    def longest(
        self, digests: Sequence[bytes], needed: Callable[[int], int] = lambda blocks: blocks
    ) -> tuple[int, list[Block]]:
        """Of the longest known beginning: how many of its first blocks are left out, and the others, each with one more
        reference, which is the caller's. `needed`: how many of the last blocks of a beginning there must be."""
        end = known = 0
        for count, digest in enumerate(digests, start=1):
            known = known + 1 if digest in self._blocks else 0
            if known >= needed(count):
                end = count
            elif not known and not self._has_gaps:
                break
        start = end - needed(end)
        found = [self._blocks[digest] for digest in digests[start:end]]
        for block in found:
            block.references += 1
        self._touch(digests[start:end])
        return start, found

    def keep(self, digests: Sequence[bytes], blocks: Sequence[Block | None]) -> None:
        """Know the sequence of these digests by these blocks, as far as they go: None = not at hand.

        A digest that is known already keeps its block. What does not fit even after evicting is not kept, and what is behind one
        that is not kept only where there may be gaps.
        """
        kept = 0
        for digest, block in zip(digests, blocks, strict=False):
            if digest not in self._blocks:
                if block is None and self._has_gaps:
                    kept += 1
                    continue
                if block is None or not self._room_for_one():
                    break
                block.references += 1
                self._blocks[digest] = block
            kept += 1
        self._touch(digests[:kept])

    def evict(self) -> bool:
        """Give the least recently used block back that nobody else holds; False if there is none."""
        for digest, block in self._blocks.items():
            if block.references == 1:
                del self._blocks[digest]
                self._give_back(block)
                return True
        return False

    def forget(self, blocks: Sequence[Block]) -> None:
        """Give up these, whoever else holds them."""
        unwanted = {id(block) for block in blocks}
        for digest, block in [item for item in self._blocks.items() if id(item[1]) in unwanted]:
            del self._blocks[digest]
            self._give_back(block)

    def clear(self) -> None:
        """Forget everything; blocks in use stay with their users."""
        while self._blocks:
            self._give_back(self._blocks.popitem()[1])

    def _room_for_one(self) -> bool:
        return len(self._blocks) < self._max_blocks or (self.enabled and self.evict())

    def _touch(self, digests: Sequence[bytes]) -> None:
        for digest in reversed(digests):
            if digest in self._blocks:
                self._blocks.move_to_end(digest)
