"""Short names for the buckets of batches, few enough to be labels of metrics whatever callers send; pure.

Used by `metrics`. A bucket is what `engine.calls` makes of a call: kind, layout of its tensors, and more.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

MAX_LABELS: Final = 32
"""The first so many values have a label of their own; all later ones share OTHER."""
MAX_CHARACTERS: Final = 100
OTHER: Final = "other"
_REMEMBERED: Final = 1024
"""Buckets also differ by parameters, which callers choose freely."""


class FewLabels:
    """At most MAX_LABELS different ones, and OTHER."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def label(self, wanted: str) -> str:
        """The wanted one if there is room for it."""
        if wanted not in self._given:
            if len(self._given) >= MAX_LABELS:
                return OTHER
            self._given.add(wanted)
        return wanted


class BucketLabels:
    """Gives each bucket its label."""

    def __init__(self) -> None:
        self._labels = FewLabels()
        self._known: dict[Hashable, str] = {}

    def label(self, bucket: Hashable) -> str:
        """Such as `x:FP32[64,64]`; buckets that differ only in parameters share one."""
        found = self._known.get(bucket)
        if found is None:
            found = self._labels.label(bucket_label(bucket))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[bucket] = found
        return found


def bucket_label(bucket: Hashable) -> str:
    """Of the tensors' layout, or the bucket's kind for calls without tensors; at most MAX_CHARACTERS."""
    match bucket:
        case (str(), tuple() as layout, *_) if layout:
            text = " ".join(f"{name}:{kind}[{','.join(map(str, shape))}]" for name, kind, shape in layout)
        case (str() as text, *_):
            pass
        case _:
            text = OTHER
    return text[:MAX_CHARACTERS]
