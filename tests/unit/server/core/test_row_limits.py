"""Limits only fall, and their number is bounded."""

from __future__ import annotations

from atheria_server.core.row_limits import KNOWN_BUCKETS, RowLimits


def test_a_limit_only_falls() -> None:
    limits = RowLimits()
    for rows in (4, 2, 3):
        limits.lower("a", rows)
    assert limits == {"a": 2}


def test_the_oldest_of_too_many_buckets_is_forgotten() -> None:
    limits = RowLimits()
    for bucket in range(KNOWN_BUCKETS + 1):
        limits.lower(bucket, 1)
    assert len(limits) == KNOWN_BUCKETS
    assert 0 not in limits
