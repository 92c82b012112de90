"""In which precision keys and values are cached: the choices, from exact to smallest. Pure; no torch.

Read by the settings of a text model and by `core.cache_error_budget`; `models.text.cache` stores accordingly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class CachePrecision(StrEnum):
    """Of tokens older than the recent window; those inside it are always as the model computed them."""

    FULL = "full"
    INT8 = "int8"
    """Symmetric, a scale per token and head."""
    INT4 = "int4"
    """Asymmetric: keys per channel over a group of tokens, values per token over a group of channels (the layout of KIVI)."""
    INT2 = "int2"
    """As INT4 with two bits; an experiment."""


MOST_EXACT_FIRST: Final = (
    CachePrecision.FULL,
    CachePrecision.INT8,
    CachePrecision.INT4,
    CachePrecision.INT2,
)
BITS: Final = {CachePrecision.INT8: 8, CachePrecision.INT4: 4, CachePrecision.INT2: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """How keys and values are kept. Raises ValueError."""

    precision: CachePrecision = CachePrecision.FULL
    recent_window: int = 128
    """Most newest tokens of a sequence kept exact; a multiple of `group_tokens`. 128 to 256 for long contexts; a context of
    fewer tokens is never compressed. Ignored by `full`."""
    group_tokens: int = 32
    """Tokens that are compressed together once they leave the window, and that share a scale per channel of the keys."""
    group_channels: int = 32
    """Channels of a value that share a scale (int4 and int2); a head of fewer channels is one group. Must divide the head's size."""

    def __post_init__(self) -> None:
        for name, value in (("group_tokens", self.group_tokens), ("group_channels", self.group_channels)):
            if value < 1:
                raise ValueError(f"{name} is {value}; allowed is 1 or more")
        if self.recent_window < self.group_tokens or self.recent_window % self.group_tokens:
            raise ValueError(
                f"recent_window is {self.recent_window}; allowed are multiples of group_tokens ({self.group_tokens}) from "
                f"{self.group_tokens} on: change one of the two"
            )
