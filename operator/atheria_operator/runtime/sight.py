"""Finds out that kopf watches no models although there are some; the composition root then starts kopf anew.

Kopf looks for kinds when a definition changes. The API server may list a kind a moment after it has announced the definition, and kopf, which looked
at that moment, never looks again: an operator would run, be ready, and do nothing.
"""

from __future__ import annotations

from collections.abc import Collection


class Blind(Exception):  # noqa: N818 - not an error of this process
    """There are models, and kopf has told of none of them."""


class Sight:
    """What kopf has told of, against what there is; two looks in a row, since what is new takes kopf a moment."""

    def __init__(self) -> None:
        """Nothing is known at first."""
        self._told: set[str] = set()
        self._was_blind = False

    def told(self, uid: str, *, is_deleted: bool) -> None:
        """Kopf has told of an event of a model."""
        if is_deleted:
            self._told.discard(uid)
        else:
            self._told.add(uid)

    def start(self) -> None:
        """Kopf starts: it tells of everything again."""
        self._told.clear()
        self._was_blind = False

    def check(self, uids: Collection[str]) -> None:
        """`uids` are those of all models that stay. Raises Blind at the second look without any that kopf has told of."""
        is_blind = bool(uids) and self._told.isdisjoint(uids)
        if is_blind and self._was_blind:
            message = f"kopf has told of none of the {len(uids)} models that there are"
            raise Blind(message)
        self._was_blind = is_blind
