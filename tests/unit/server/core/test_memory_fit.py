"""The largest batch follows from two measured ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.memory_fit import USABLE_SHARE, Footprint, row_bytes, rows_that_fit


def footprint(rows: int, peak: int, free: int = 10_000) -> Footprint:
    return Footprint(rows=rows, peak_bytes=peak, free_bytes=free)


def test_rows_are_bounded_by_the_memory_that_is_free() -> None:
    assert row_bytes(footprint(1, 500), footprint(8, 4000)) == 500
    assert rows_that_fit(64, footprint(1, 500), footprint(8, 4000)) == 18
    assert rows_that_fit(8, footprint(1, 500), footprint(8, 4000)) == 8


def test_the_limit_stands_where_a_row_takes_no_memory_that_can_be_seen() -> None:
    assert rows_that_fit(64, footprint(1, 4096), footprint(8, 4096)) == 64
    assert rows_that_fit(64, footprint(1, 4096), footprint(8, 0)) == 64


def test_a_batch_that_fits_only_just_is_made_smaller_and_one_row_is_always_tried() -> None:
    assert rows_that_fit(8, footprint(1, 1000, 8100), footprint(8, 8000, 8100)) == 7
    assert rows_that_fit(8, footprint(1, 1000, 10), footprint(8, 8000, 10)) == 1


@given(
    st.integers(0, 10**6),
    st.integers(1, 10**6),
    st.integers(2, 64),
    st.integers(0, 10**9),
    st.integers(1, 1024),
)
def test_what_is_said_to_fit_does_fit(base: int, per_row: int, rows: int, free: int, limit: int) -> None:
    small, large = footprint(1, base + per_row, free), footprint(rows, base + rows * per_row, free)
    fits = rows_that_fit(limit, small, large)
    assert 1 <= fits <= limit
    assert fits == 1 or base + fits * per_row <= USABLE_SHARE * free
