"""The few batch sizes that a compiled model computes: every batch is filled up to the next of them. Pure.

Each size costs a compilation, each row of filling costs its time: powers of two waste less than half of a batch.
Called by the pipeline, which warms them up, and by `optimize.row_padding`, which fills.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class RowBucketsError(ValueError):
    """The configured batch sizes cannot be used; the message names the value and what is allowed."""


def row_buckets(configured: Sequence[int], max_rows: int) -> tuple[int, ...]:
    """Ascending batch sizes of which the last is `max_rows`, the largest batch: the configured ones, or powers of two.

    Raises RowBucketsError for a configured size that is not from 1 to `max_rows`.
    """
    if max_rows < 1:
        raise RowBucketsError(f"the largest batch is {max_rows} rows; expected at least 1")
    for rows in configured:
        if not 1 <= rows <= max_rows:
            raise RowBucketsError(
                f"compile.row_buckets has {rows}; expected numbers from 1 to the largest batch, {max_rows}"
            )
    chosen = set(configured) or {2**power for power in range(max_rows.bit_length())}
    return tuple(sorted(chosen | {max_rows}))


def bucket_of(rows: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds `rows`; a single call with more rows than the largest is computed as it is."""
    place = bisect_left(buckets, rows)
    return buckets[place] if place < len(buckets) else rows
