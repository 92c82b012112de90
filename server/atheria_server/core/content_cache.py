"""What was made of a content before, by the content's digest: least recently used first out. Pure bookkeeping.

Used by `engine.hooks` for `decode_request` of a LitAPI that asks for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class ContentCache:
    """At most `max_entries` values; counts how often one was there."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._values: OrderedDict[bytes, Any] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get_or_make(self, digest: bytes, make: Callable[[], Any]) -> Any:
        """The value of this digest. What `make` raises is raised, and nothing is kept."""
        if digest in self._values:
            self.hits += 1
            self._values.move_to_end(digest)
            return self._values[digest]
        self.misses += 1
        value = self._values[digest] = make()
        if len(self._values) > self._max_entries:
            self._values.popitem(last=False)
        return value
