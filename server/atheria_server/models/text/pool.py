"""What the generator asks of a cache of keys and values: implemented by `text.cache`.

A slot is the cache of one sequence. The generator opens it with all the room that the sequence may ever take, so it never
has to be taken away again, and closes it as soon as nobody waits for the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from atheria_server.models.text.causal import StepCache


class Slot(Protocol):
    """The cache of one sequence."""

    @property
    def length(self) -> int:
        """Positions of the sequence so far."""

    @property
    def held(self) -> int:
        """The last of them, that a pass reads: those before them no layer sees any more."""

    def truncate(self, length: int) -> None:
        """Forget the positions from `length` on: tokens that were proposed and not accepted. Before those of the last
        step no more than the pool was made for."""

    def close(self, content: Sequence[int] = ()) -> None:
        """Free it, at once. `content` = one number for each position, that later calls may use again; () = none."""


class PassCache(StepCache, Protocol):
    """The cache of the rows of one pass."""

    @property
    def longest(self) -> int:
        """Positions that are held of the longest row, its new tokens included."""

    def commit(self) -> None:
        """All layers are computed: the new tokens are part of their slots."""


class CachePool(Protocol):
    """All slots of one network."""

    @property
    def budget_bytes(self) -> int:
        """Of all slots together, at most."""

    @property
    def free_bytes(self) -> int:
        """What may still be reserved."""

    @property
    def used_bytes(self) -> int:
        """Allocated now, for open slots and for what later calls may use again."""

    def bytes_for(self, tokens: int) -> int:
        """What a slot of at most so many tokens takes."""

    def open(self, capacity: int, content: Sequence[int], reusable: int) -> Slot:
        """A slot for at most `capacity` positions; does not fail while `bytes_for(capacity)` is within `free_bytes`.

        `content` = one number for each position of the prompt. Of its first `reusable` positions as many as are known
        from earlier calls are in the slot already.
        """

    def forget_prefixes(self) -> None:
        """Keep nothing for later calls of what was there so far."""

    def trim(self) -> None:
        """Allocate no more than what is used. Not while a step is under way."""

    def abandon_step(self) -> bool:
        """Behind a pass that failed: be as before its `step`. False = that cannot be, close its slots; True too without a step."""

    def step(self, rows: Sequence[tuple[Any, int]]) -> PassCache:
        """For one pass: each row's slot (of this pool), and how many of its new tokens are real; the others stand behind those."""
