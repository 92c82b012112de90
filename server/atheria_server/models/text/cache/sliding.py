"""Which blocks no layer sees any more, where all layers attend to a window only. Pure; used by `pool.CachePool`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliding:
    """Of one pool."""

    window: int
    """Positions that a token attends to, its own included."""
    step_tokens: int
    """New tokens of one sequence in a step, at most."""
    block_tokens: int
    undone_tokens: int = 0
    """Of the steps before the last one, that a sequence may be cut back by: as many older positions are kept."""

    def behind(self, length: int) -> int:
        """Blocks from position 0 on that no token from position `length` on attends to."""
        return max(0, length - self.undone_tokens - self.window + 1) // self.block_tokens

    @property
    def most_blocks(self) -> int:
        """That a sequence holds in any step."""
        return -(-(self.window - 1 + self.undone_tokens + self.step_tokens) // self.block_tokens) + 1

    def least_length(self, released: int) -> int:
        """To which a sequence without its first `released` blocks may be cut back."""
        return released * self.block_tokens + self.window - 1 if released else 0
