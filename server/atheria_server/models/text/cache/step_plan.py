"""Where the tokens of one step lie: which blocks are read, compressed and written. Pure; made by `pool`, obeyed by the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPlan:
    """One sequence of the step. Numbers of blocks are their indexes in the pools; sequences are in order of positions."""

    before: int
    """Tokens in the cache."""
    new: int
    packed: Sequence[int]
    """Compressed blocks from position 0 on."""
    exact: Sequence[int]
    """Exact blocks that follow them and hold tokens before the step."""
    packed_now: Sequence[int]
    """Compressed blocks that follow `packed`: what this step compresses."""
    written: Mapping[int, int]
    """Exact blocks that take new tokens, by block of the sequence (position // tokens of a block)."""

    @property
    def after(self) -> int:
        """Tokens behind the step."""
        return self.before + self.new


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """New token `token` of row `row` goes to place `offset` of exact block `block`."""

    row: int
    token: int
    block: int
    offset: int


def writes(rows: Sequence[RowPlan], block_tokens: int) -> list[Write]:
    """Of all new tokens that stay exact, by row and position."""
    return [
        Write(
            row=row, token=position - plan.before, block=plan.written[position // block_tokens], offset=offset
        )
        for row, plan in enumerate(rows)
        for position in range(plan.before, plan.after)
        if position // block_tokens in plan.written
        for offset in (position % block_tokens,)
    ]
