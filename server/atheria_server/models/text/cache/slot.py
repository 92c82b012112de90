"""The cache of one open sequence: its blocks, and how far it is. Kept by `pool.CachePool`, which alone changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from atheria_server.models.text.cache.blocks import Block

if TYPE_CHECKING:
    from atheria_server.models.text.cache.pool import CachePool


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """One open sequence."""

    pool: CachePool = field(repr=False)
    capacity: int
    """Most tokens that it may have."""
    reserved_bytes: int
    length: int = 0
    """Tokens so far; those found in the prefix index are there from the start."""
    digests: tuple[bytes, ...] = ()
    """Of the prompt's full blocks."""
    released: int = 0
    """Blocks from position 0 on that no layer sees any more, and that are not held."""
    packed: list[Block] = field(default_factory=list)
    """Behind those."""
    exact: list[Block] = field(default_factory=list)
    """Behind `packed`."""
    leaving: list[Block] = field(default_factory=list)
    """Exact blocks before `exact` that are given back once the step is committed."""
    offered: int = 0
    """Blocks of the prompt that the prefix index was told of."""
    stepping: int | None = None
    """New tokens of the step that is not committed."""
    open: bool = True

    @property
    def held(self) -> int:
        """Tokens in the cache, those before them released."""
        return self.length - self.pool.tokens_of(self.released)

    def truncate(self, length: int) -> None:
        """Forget the tokens from `length` on (a draft's that the model rejected). Raises ValueError."""
        self.pool.truncate(self, length)

    def close(self, content: Sequence[int] = ()) -> None:
        """Give everything back; a second call does nothing.

        `content`, one int per position from 0 on as in `CachePool.open`, may stay for calls that begin alike.
        """
        self.pool.close(self, content)
