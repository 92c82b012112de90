"""Finds objects that the watches believe in and that are gone: a watch that is listed anew (410 Gone, a cut) tells of no deletion.

Every few minutes, and soon after the API server was away, each owned kind is listed once, names only; what was known before the list and is
not in it has been deleted. The loops then see it as gone, and plan accordingly. Without this a lost deletion would stay lost for ever, resync
or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.backoff import backoff_seconds
from atheria_operator.runtime.ports import Clock, ClusterError, ObjectLister

_LOG = logging.getLogger(__name__)
AFTER_OUTAGE_SECONDS: Final = (5.0, 15.0, 30.0)
"""Pauses before the checks that follow an outage: kopf opens its watches again after at most 21 s, and is not told what was deleted before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An object that the watches know."""

    uid: str
    key: ModelKey


class Presence:
    """The uids of objects that are gone although the watches still know them."""

    def __init__(
        self,
        lister: ObjectLister,
        clock: Clock,
        known: Callable[[], Mapping[str, Iterable[Known]]],
        wake: Callable[[ModelKey], None],
        *,
        every_seconds: float,
        after_outage_seconds: Sequence[float] = AFTER_OUTAGE_SECONDS,
    ) -> None:
        """`known` gives objects by kind as the watches know them now; `wake` is called for each model that lost one."""
        self._lister = lister
        self._clock = clock
        self._known = known
        self._wake = wake
        self._every_seconds = every_seconds
        self._after_outage_seconds = after_outage_seconds
        self._soon: list[float] = []
        self._hurried = asyncio.Event()
        self.gone: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Until cancelled."""
        failures, wait_seconds = 0, self._every_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._hurried.wait()
            if self._hurried.is_set():
                self._hurried.clear()
                self._soon = list(self._after_outage_seconds)
                wait_seconds = self._soon.pop(0)
                continue
            try:
                await self.check()
                failures, wait_seconds = 0, self._soon.pop(0) if self._soon else self._every_seconds
            except ClusterError as error:
                failures += 1
                wait_seconds = min(self._every_seconds, backoff_seconds(failures, self._clock.jitter()))
                _LOG.warning("owned objects cannot be listed, again in %.1f s: %s", wait_seconds, error)

    def hurry(self) -> None:
        """The API server is back: look soon, and a few times."""
        self._hurried.set()

    async def check(self) -> None:
        """Compare once. Raises ClusterError."""
        # Before the lists: what is made meanwhile is in neither, what is deleted meanwhile is found the next time.
        before = {kind: list(objects) for kind, objects in self._known().items()}
        gone: set[str] = set()
        for kind, objects in before.items():
            if not objects:
                continue
            live = await self._lister.uids(kind)
            for one in objects:
                if one.uid not in live:
                    gone.add(one.uid)
                    if one.uid not in self.gone:
                        _LOG.warning("model=%s: a %s was deleted and no watch told of it", one.key, kind)
        lost = {one.key for objects in before.values() for one in objects if one.uid in gone - self.gone}
        self.gone = frozenset(gone)
        for key in lost:
            self._wake(key)
