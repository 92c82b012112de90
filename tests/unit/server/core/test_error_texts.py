"""Texts of errors: short ones as they are, long ones within what gRPC's metadata can hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_server.core.errors import MAX_TEXT_BYTES, InvalidCallError, shortened


def test_a_short_text_stays_as_it_is() -> None:
    assert str(InvalidCallError("x is 1; expected 2")) == "x is 1; expected 2"
    assert shortened("é" * (MAX_TEXT_BYTES // 2)) == "é" * (MAX_TEXT_BYTES // 2)


def test_of_a_long_text_the_beginning_and_the_end_stay() -> None:
    text = str(InvalidCallError(f"name is {'y' * 5000!r}; expected x"))
    assert text.startswith("name is 'yyy")
    assert text.endswith("yyy'; expected x")
    assert f"({len('name is ; expected x') + 5002 - MAX_TEXT_BYTES} more bytes)" in text


@given(st.text(min_size=100, max_size=400).map(lambda text: text * 20))
def test_no_text_is_longer_than_the_bound_and_all_can_be_sent(text: str) -> None:
    found = shortened(text)
    assert found == text or len(found.encode(errors="replace")) <= MAX_TEXT_BYTES + 50
