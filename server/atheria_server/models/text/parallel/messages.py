"""What the leading rank tells the others before a pass, as integers: collectives carry tensors, and objects would be pickled.

One message is everything since the pass before: slots that were opened, cut back and closed, then the pass itself or the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What is told."""

    OPEN = 1
    """slot, capacity, reusable, content of the prompt."""
    TRUNCATE = 2
    """slot, length."""
    CLOSE = 3
    """slot, content of its positions."""
    FORWARD = 4
    """rows, new, width, longest of the mask (0 = none), then slot and real new tokens of each row; tensors follow."""
    END = 5
    """Nothing; the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing told."""

    kind: Kind
    numbers: tuple[int, ...] = ()


def encode(messages: Sequence[Message]) -> list[int]:
    """Each as its kind, how many numbers follow, and these."""
    return [number for one in messages for number in (one.kind, len(one.numbers), *one.numbers)]


def decode(numbers: Sequence[int]) -> Iterator[Message]:
    """The inverse. Raises ValueError for what `encode` did not write."""
    at = 0
    while at < len(numbers):
        kind, count = Kind(numbers[at]), numbers[at + 1]
        if at + 2 + count > len(numbers):
            raise ValueError(f"a message of {count} numbers has only {len(numbers) - at - 2}")
        yield Message(kind=kind, numbers=tuple(numbers[at + 2 : at + 2 + count]))
        at += 2 + count
