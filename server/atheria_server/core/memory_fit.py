"""How many rows fit into the device's memory, from two measured batches. Pure; used at warm-up by `engine.service`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

USABLE_SHARE: Final = 0.9
"""Of what is free: allocators round up and fragment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What one batch took."""

    rows: int
    peak_bytes: int
    """At most, beyond what was in use before it."""
    free_bytes: int
    """Before it."""


def row_bytes(small: Footprint, large: Footprint) -> int:
    """Memory of one more row, 0 if the larger batch took no more than the smaller one."""
    return max(0, (large.peak_bytes - small.peak_bytes) // (large.rows - small.rows))


def rows_that_fit(limit: int, small: Footprint, large: Footprint) -> int:
    """min(limit, rows for which there is memory), at least 1: peak(n) = peak(large) + (n - rows(large)) * row_bytes."""
    per_row = row_bytes(small, large)
    if per_row == 0:
        return limit
    usable = int(USABLE_SHARE * large.free_bytes)
    return max(1, min(limit, large.rows + (usable - large.peak_bytes) // per_row))
