"""The largest batch of each bucket, where the device's memory was found to hold fewer rows than the policy allows.

Pure bookkeeping; filled by the engine from warm-up and from batches that ran out of memory, read by `core.batching`.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

KNOWN_BUCKETS: Final = 1024
"""Of more buckets the oldest are forgotten, and found anew."""


class RowLimits(dict[Hashable, int]):
    """Rows by bucket; a bucket that is not in it has no limit of its own."""

    def lower(self, bucket: Hashable, rows: int) -> None:
        """No more than `rows` fit; what was known to be less stays."""
        self[bucket] = min(self.pop(bucket, rows), rows)
        if len(self) > KNOWN_BUCKETS:
            del self[next(iter(self))]
