"""How much of a device's memory the cache of one worker may take, and how much of that a draft model's. PURE; asked by `models.text.start`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

CACHE_SHARE: Final = 0.8
"""Of what a worker has behind its weights; the rest is for what its passes compute with."""


def cache_share_bytes(*, total_bytes: int, free_bytes: int, own_bytes: int, workers: int) -> int:
    """For a worker that holds `own_bytes` (weights, nothing that is freed and kept) of a device of `total_bytes`, `free_bytes` of which nobody has taken.

    `workers` on the device have equal parts of it, so each plans the same whether or not the others have loaded their weights
    or filled their caches; never more than what is free. One alone plans with what is free. At least 0. Raises ValueError.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; allowed is 1 or more")
    part = free_bytes if workers == 1 else min(free_bytes, total_bytes // workers - own_bytes)
    return max(0, int(CACHE_SHARE * part))


def draft_share_bytes(budget_bytes: int, text_bytes: Iterable[tuple[int, int]]) -> int:
    """What of a cache's budget a draft model's cache gets: as little as has room for all texts that the rest has room for.

    `text_bytes` = what a text takes in the network's cache and in the draft's, for every length of a text that both may read.
    The length decides that the draft takes the largest part of: where only one of the two forgets what is behind a window,
    the parts of short and long texts differ. Raises ValueError without any length.
    """
    network, draft = max(text_bytes, key=lambda pair: pair[1] / pair[0])
    return budget_bytes - budget_bytes * network // (network + draft)
