"""A model is warm when a call takes what the warm-up measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.steadiness import TOLERANCE, steadiness

seconds = st.floats(1e-6, 100)


def test_no_buckets_are_steady() -> None:
    assert steadiness([]).passed


def test_the_slowest_bucket_decides_and_is_named() -> None:
    found = steadiness([("a", 1.0, [1.0]), ("b", 1.0, [1.5, 1.3]), ("c", 2.0, [2.1])])
    assert (found.passed, found.bucket) == (False, "b")
    assert found.ratio == pytest.approx(1.3)


def test_the_best_call_counts() -> None:
    assert steadiness([("a", 1.0, [9.0, 1.05])]).passed


@given(st.lists(st.tuples(st.text(min_size=1), seconds, st.lists(seconds, min_size=1)), min_size=1))
def test_it_passes_exactly_where_every_bucket_has_a_call_within_the_tolerance(
    buckets: list[tuple[str, float, list[float]]],
) -> None:
    expected = all(min(calls) / median <= TOLERANCE for _, median, calls in buckets)
    assert steadiness(buckets).passed is expected
