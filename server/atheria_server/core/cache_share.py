"""How much of a device's memory the cache of one worker may take. PURE; asked by `models.text.start`."""

from __future__ import annotations

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
