"""Which batch sizes are compiled, and which of them a batch is filled up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.row_buckets import RowBucketsError, bucket_of, row_buckets


@pytest.mark.parametrize(
    ("configured", "max_rows", "expected"),
    [
        ((), 1, (1,)),
        ((), 8, (1, 2, 4, 8)),
        ((), 12, (1, 2, 4, 8, 12)),
        ((4, 1), 16, (1, 4, 16)),
        ((3, 3), 3, (3,)),
    ],
)
def test_sizes_are_powers_of_two_or_the_configured_ones_and_always_the_largest_batch(
    configured: tuple[int, ...], max_rows: int, expected: tuple[int, ...]
) -> None:
    assert row_buckets(configured, max_rows) == expected


@pytest.mark.parametrize("configured", [(0,), (1, -2), (1, 9)])
def test_a_size_that_no_batch_has_is_refused_with_what_is_allowed(configured: tuple[int, ...]) -> None:
    with pytest.raises(RowBucketsError, match=r"compile.row_buckets has -?\d+; .* from 1 to .* 8"):
        row_buckets(configured, 8)


@given(st.integers(1, 500), st.data())
def test_every_batch_fits_its_bucket_and_less_than_half_of_it_is_filling(
    max_rows: int, data: st.DataObject
) -> None:
    buckets = row_buckets((), max_rows)
    rows = data.draw(st.integers(1, max_rows))
    bucket = bucket_of(rows, buckets)
    assert bucket in buckets
    assert rows <= bucket < 2 * rows


def test_a_call_with_more_rows_than_the_largest_batch_is_computed_as_it_is() -> None:
    assert bucket_of(9, (1, 2, 4, 8)) == 9
