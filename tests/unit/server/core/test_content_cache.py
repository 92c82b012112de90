"""The cache gives what was made, forgets the least recently used, and keeps no failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.content_cache import ContentCache


@given(st.lists(st.binary(max_size=1), max_size=60), st.integers(1, 4))
def test_a_value_is_always_that_of_its_digest_and_their_number_is_bounded(
    digests: list[bytes], entries: int
) -> None:
    cache = ContentCache(entries)
    for digest in digests:
        assert cache.get_or_make(digest, lambda digest=digest: digest * 2) == digest * 2
        assert len(cache._values) <= entries
    assert cache.hits + cache.misses == len(digests)
    assert cache.misses >= len(set(digests))


def test_the_least_recently_used_goes_first() -> None:
    cache = ContentCache(2)
    for digest in (b"a", b"b", b"a", b"c", b"a", b"b"):
        cache.get_or_make(digest, lambda: None)
    assert (cache.hits, cache.misses) == (2, 4)


def test_a_failure_is_not_remembered() -> None:
    cache = ContentCache(2)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_make(b"a", lambda: 1 // 0)
    assert cache.get_or_make(b"a", lambda: 7) == 7
