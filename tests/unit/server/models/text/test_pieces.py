from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from atheria_server.models.text.pieces import TextPieces


def decode(tokens: Sequence[int]) -> str:
    """A token is a byte."""
    return bytes(tokens).decode(errors="replace")


def pieces_of(text: str, stops: Sequence[str] = ()) -> tuple[list[str], bool]:
    pieces = TextPieces(decode, stops)
    found = [pieces.add(token) for token in text.encode()]
    return [*found, pieces.finish()], pieces.stopped


@given(text=st.text())
def test_joined_pieces_are_the_text_and_each_is_whole(text: str) -> None:
    found, stopped = pieces_of(text)
    assert "".join(found) == text
    assert not stopped
    for piece in found:
        piece.encode()


@given(
    text=st.text(alphabet="abé€"),
    stops=st.lists(st.text(alphabet="abé€", min_size=1, max_size=3), max_size=3),
)
def test_the_text_ends_before_the_first_stop_text_and_no_part_of_one_is_shown(
    text: str, stops: list[str]
) -> None:
    found, stopped = pieces_of(text, stops)
    ends = [text.index(stop) for stop in stops if stop in text]
    assert stopped is bool(ends)
    if not ends:
        assert "".join(found) == text
        return
    # The first to be complete decides; it may have begun behind another that is complete later.
    shown = "".join(found)
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert any(text[len(shown) :].startswith(stop) for stop in stops)


def test_half_a_character_waits_for_its_other_half_and_is_shown_at_the_end() -> None:
    pieces = TextPieces(decode)
    euro = "€".encode()
    assert [pieces.add(token) for token in euro] == ["", "", "€"]
    assert pieces.add(euro[0]) == ""
    assert pieces.finish() == "\ufffd"


def test_bytes_that_are_no_text_do_not_hold_the_rest_back_for_ever() -> None:
    pieces = TextPieces(decode)
    found = "".join(pieces.add(token) for token in [0xFF] * 40)
    assert found
    assert set(found) == {"\ufffd"}


def test_nothing_follows_a_stop_text() -> None:
    pieces = TextPieces(decode, ["b"])
    assert [pieces.add(token) for token in b"abab"] == ["a", "", "", ""]
    assert pieces.finish() == ""


def test_a_model_without_text_has_no_pieces() -> None:
    pieces = TextPieces(None)
    assert pieces.silent
    assert pieces.add(3) == pieces.finish() == ""


def test_many_tokens_without_text_are_not_read_again_with_each_token() -> None:
    longest = 0

    def spaced(tokens: Sequence[int]) -> str:
        """Words with a space before all but the first; 0 is no text."""
        nonlocal longest
        longest = max(longest, len(tokens))
        return " ".join("word" for token in tokens if token)

    pieces = TextPieces(spaced)
    found = [pieces.add(token) for token in [1, *[0] * 500, 1, 1]]
    assert "".join(found) == "word word word"
    assert longest < 20
