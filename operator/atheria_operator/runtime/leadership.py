"""Waits until this operator holds the Lease, keeps it, and says when it may write.

Kopf's peering is not used: it has no fence, and two operators of equal priority stop each other. Here the second waits. A holder
that cannot reach the API server stops writing before anybody else may begin, and goes on when it comes back and nobody has taken
over; one that was replaced ends its process, so that nothing it remembers is used again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from atheria_operator.domain.election import FENCE_SECONDS, RETRY_SECONDS, Record, Seen, Step, look
from atheria_operator.runtime.ports import CONFLICT, Clock, ClusterError, LeaseStore

_LOG = logging.getLogger(__name__)


class Replaced(Exception):  # noqa: N818 - not a fault: somebody else works now
    """Another operator holds the Lease."""


class Leadership:
    """The Lease as this process sees it."""

    def __init__(
        self, store: LeaseStore, identity: str, clock: Clock, changed: Callable[[bool], None]
    ) -> None:
        """`identity` must differ from that of every other living operator; `changed` is told of True whenever writing may begin or go
        on, also where no look fell into the time without it, and of False when it may not."""
        self._store = store
        self._identity = identity
        self._clock = clock
        self._changed = changed
        self._seen = Seen()
        self._record: Record | None = None
        self._renewed_seconds: float | None = None
        self._is_told_to_write = False
        self.holder = ""
        """Who held the Lease at the last look; empty = nobody, or it could not be read."""

    @property
    def may_write(self) -> bool:
        """Whether this process has held the Lease so lately that nobody else can have begun."""
        renewed = self._renewed_seconds
        return renewed is not None and self._clock.monotonic_seconds() - renewed < FENCE_SECONDS

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Wait until the Lease is held; False when `stop` was set before."""
        told = ""
        while not stop.is_set():
            if await self._try():
                _LOG.info("identity=%s leads", self._identity)
                return True
            if self.holder != told:
                told = self.holder
                _LOG.info("identity=%s waits: %s leads", self._identity, told)
            await _pause(stop)
        return False

    async def keep(self, stop: asyncio.Event) -> None:
        """Renew until `stop` is set, then give the Lease back. Raises Replaced when another holds it."""
        while True:
            await _pause(stop)
            if stop.is_set():
                break
            await self._try()
            if self._is_told_to_write and not self.may_write:
                self._tell(may_write=False)
                _LOG.error(
                    "identity=%s cannot renew its Lease: nothing is written until it can", self._identity
                )
            if self._renewed_seconds is None:
                raise Replaced(f"{self.holder or 'somebody else'} holds the Lease: this operator ends")

    async def release(self) -> None:
        """Let the next one begin at once. What goes wrong only costs it the wait."""
        if self._renewed_seconds is None or self._record is None:
            return
        self._renewed_seconds = None
        self._tell(may_write=False)
        try:
            await self._store.write("", self._record)
        except ClusterError as error:
            _LOG.warning("identity=%s could not give its Lease back: %s", self._identity, error)

    async def _try(self) -> bool:
        began = self._clock.monotonic_seconds()
        try:
            record = await self._store.read()
            self._seen, step = look(self._seen, record, self._identity, began)
            self.holder = record.holder if record else ""
            if step is Step.WAIT:
                self._renewed_seconds = None
                return False
            self._record = await self._store.write(self._identity, record)
        except ClusterError as error:
            if error.status != CONFLICT:
                _LOG.warning("identity=%s cannot look at its Lease: %s", self._identity, error)
            return False
        # Between two looks nobody asks: a process without a processor finds only here that the fence was down.
        could_write, before = self.may_write, self._renewed_seconds
        self._renewed_seconds = began
        self.holder = self._identity
        if self.may_write and not could_write:
            if before is not None:
                _LOG.warning(
                    "identity=%s leads again: its last renewal was %.1f s before this one, and nothing was written from %g s on",
                    self._identity,
                    began - before,
                    FENCE_SECONDS,
                )
            self._tell(may_write=True)
        return True

    def _tell(self, *, may_write: bool) -> None:
        self._is_told_to_write = may_write
        self._changed(may_write)


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(RETRY_SECONDS):
            await stop.wait()
    except TimeoutError:
        return
