"""From tokens to pieces of text as they come: whole characters only, and nothing that may become a stop text. No torch.

One `TextPieces` per sequence, used by `text.sequence` in the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

Decode = Callable[[Sequence[int]], str]
"""Text of tokens; incomplete UTF-8 becomes U+FFFD."""
_REPLACEMENT: Final = "\ufffd"
_WAIT_TOKENS: Final = 8
"""A character has at most 4 bytes; a token that is still no character after so many more is none at all."""


class TextPieces:
    """What `add` and `finish` gave, joined, is the text of all tokens, cut before the first stop text."""

    def __init__(self, decode: Decode | None, stops: Sequence[str] = ()) -> None:
        """`decode` = None: the model has no text, only tokens."""
        self.silent = decode is None
        self._decode = decode or _nothing
        self._stops = tuple(stops)
        self._tokens: list[int] = []
        self._context_at = 0
        """From here on tokens are decoded again: a token's text may depend on those before it."""
        self._read_at = 0
        """Tokens before this are text already."""
        self._held = ""
        """May be the beginning of a stop text."""
        self.stopped = False
        """A stop text came; nothing follows."""

    def add(self, token: int) -> str:
        """One more token: the text that is certain now, often empty."""
        if self.stopped:
            return ""
        self._tokens.append(token)
        return self._passed(self._fresh(last=False))

    def finish(self) -> str:
        """There are no more tokens: what was held back."""
        if self.stopped:
            return ""
        piece = self._passed(self._fresh(last=True))
        held, self._held = self._held, ""
        return piece + held

    def _fresh(self, *, last: bool) -> str:
        before = self._decode(self._tokens[self._context_at : self._read_at])
        now = self._decode(self._tokens[self._context_at :])
        waits = now.endswith(_REPLACEMENT) and len(self._tokens) - self._read_at <= _WAIT_TOKENS
        if len(now) <= len(before) and len(self._tokens) - self._read_at > _WAIT_TOKENS:
            # Tokens without text, such as those that mark something: to read all of them with each token would take ever longer.
            del self._tokens[self._read_at :]
        if len(now) <= len(before) or (waits and not last):
            return ""
        self._context_at, self._read_at = self._read_at, len(self._tokens)
        return now[len(before) :]

    def _passed(self, fresh: str) -> str:
        """`fresh` behind what is held, without what must be held now."""
        text = self._held + fresh
        if not self._stops:
            return text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _nothing(_: Sequence[int]) -> str:
    return ""


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)
