"""What the leading rank tells arrives as it was told, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_server.models.text.parallel.messages import Kind, Message, decode, encode

MESSAGES = st.lists(
    st.builds(
        Message,
        kind=st.sampled_from(Kind),
        numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(tuple),
    ),
    max_size=6,
)


@given(MESSAGES)
def test_messages_come_back_in_order(messages: list[Message]) -> None:
    assert list(decode(encode(messages))) == messages


@pytest.mark.parametrize("numbers", [[9, 0], [1, 3, 1, 2], [0, 0]])
def test_what_was_not_encoded_is_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match=r"message|Kind"):
        list(decode(numbers))
