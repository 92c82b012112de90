"""The eleven words of a caption. No torch: imported by the front process, the scenes and the network alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

COLOURS: Final = ("red", "green", "blue", "yellow")
SHAPES: Final = ("square", "disc", "cross")
WORDS: Final = ("<pad>", "<bos>", "<eos>", "and", *COLOURS, *SHAPES)
"""A token is an index of this."""
PAD: Final = 0
BEGIN: Final = 1
"""First token of every text, behind the picture's patches."""
END: Final = 2
AND: Final = 3
FIRST_COLOUR: Final = 4
FIRST_SHAPE: Final = FIRST_COLOUR + len(COLOURS)
CAPTION_TOKENS_MAX: Final = 10
"""Of three shapes, `<bos>` and `<eos>` included."""

_TOKENS: Final = {word: token for token, word in enumerate(WORDS)}


def encode(text: str) -> tuple[int, ...]:
    """Tokens of words separated by spaces. Raises ValueError that names the unknown word and those allowed."""
    words = text.split()
    if unknown := [word for word in words if word not in _TOKENS]:
        raise ValueError(f"unknown word {unknown[0]!r}; allowed: {' '.join(WORDS)}")
    return tuple(_TOKENS[word] for word in words)


def decode(tokens: Iterable[int]) -> str:
    """The words, without those that are no text (`<pad>`, `<bos>`, `<eos>`). Raises IndexError for a token that is none."""
    return " ".join(WORDS[token] for token in tokens if token not in (PAD, BEGIN, END))


def is_grounded(token: int) -> bool:
    """Whether the word names something that can be pointed at: a colour or a shape."""
    return token >= FIRST_COLOUR
