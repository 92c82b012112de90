"""Waits between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain.backoff import backoff_seconds


def test_waits_double_from_half_a_second_to_a_minute() -> None:
    assert [backoff_seconds(n, 0) for n in (1, 2, 3, 7, 8, 99)] == [0.5, 1, 2, 32, 60, 60]


@given(attempt=st.integers(1, 10_000), jitter=st.floats(0, 1))
def test_every_wait_is_between_a_quarter_second_and_a_minute(attempt: int, jitter: float) -> None:
    assert 0.25 <= backoff_seconds(attempt, jitter) <= 60
