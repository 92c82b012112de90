"""Puts the surplus pods of one model to sleep and wakes those that are needed. Used by the scaling loop.

Level-triggered like all of the operator: each round it compares the pods that are awake with the number that was decided, and orders what is
missing. A pod has the last word: with calls in flight it refuses to sleep, and a call wakes it whatever was ordered. An order that came too
late, or twice, is put right by the next round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Body, is_leaving
from atheria_operator.domain.pods import Told, is_ready, report_url, start_key, tls_host
from atheria_operator.domain.status.rest import Rest, sleeping
from atheria_operator.runtime.ports import Clock, ReportError, StandbyOrders

_LOG = logging.getLogger(__name__)
FAILED_SECONDS: Final = 15.0
"""Before a pod that did not answer an order is given another."""


class Standby:
    """Of one model."""

    def __init__(
        self, key: ModelKey, orders: StandbyOrders, clock: Clock, rests: MutableMapping[str, Rest]
    ) -> None:
        """`rests` (by `pods.start_key`) is written here and by the start watcher, and read by the status."""
        self._key = key
        self._orders = orders
        self._clock = clock
        self._rests = rests
        self._failed: dict[str, float] = {}

    @property
    def has_resting(self) -> bool:
        """Whether any pod is known to sleep, perhaps from before the mode was changed."""
        return bool(self._rests)

    def sleeping(
        self, pods: Sequence[Body], told: Mapping[str, Told], *, is_expected: bool
    ) -> tuple[Body, ...]:
        """Those of `pods`, all of the model, that sleep or go to sleep; see `domain.status.rest`."""
        now = self._clock.monotonic_seconds()
        present = {start_key(pod): pod for pod in pods if not is_leaving(pod)}
        for start in set(self._rests) - set(present):
            del self._rests[start]
        for start in set(self._failed) - set(present):
            del self._failed[start]
        found = sleeping(pods, self._rests, told, now, is_expected=is_expected)
        # Ready for longer than an order takes to show: a call has kept it awake, or woken it.
        asleep = {start_key(pod) for pod in found}
        for start, pod in present.items():
            if start in self._rests and start not in asleep and is_ready(pod):
                del self._rests[start]
        return found

    async def follow(
        self, pods: Sequence[Body], asleep: Sequence[Body], wanted: int, *, kept: int, may_sleep: bool
    ) -> bool:
        """Have `wanted` of one revision's pods (oldest first) awake, as far as `asleep` and those that are ready allow.

        Only `may_sleep` puts any to sleep, and not while there are more than its Deployment keeps: those that go may be the others.
        Whether there is nothing left to do or to wait for.
        """
        resting = [pod for pod in pods if pod in asleep]
        others = len(pods) - len(resting)
        called = resting[: max(0, wanted - others)]
        # At once: each answers only when it is awake.
        awoken = await asyncio.gather(*(self._order(pod, names.PATH_WAKE) for pod in called))
        for pod, is_awake in zip(called, awoken, strict=True):
            if is_awake:
                self._rests.pop(start_key(pod), None)
        awake = [pod for pod in pods if is_ready(pod) and pod not in resting]
        surplus = len(awake) - wanted if may_sleep and len(pods) <= kept else 0
        for pod in reversed(awake):
            if surplus <= 0:
                break
            if await self._order(pod, names.PATH_SLEEP):
                self._rests[start_key(pod)] = Rest(ordered_seconds=self._clock.monotonic_seconds())
                surplus -= 1
        return wanted == others and not any(is_ready(pod) for pod in resting)

    async def _order(self, pod: Body, path: str) -> bool:
        start, name = start_key(pod), str(pod["metadata"]["name"])
        url = report_url(pod, path)
        now = self._clock.monotonic_seconds()
        if not url or now < self._failed.get(start, now):
            return False
        try:
            is_taken = await self._orders.order(url, self._key, host=tls_host(pod, self._key))
        except ReportError as error:
            self._failed[start] = now + FAILED_SECONDS
            _LOG.warning("model=%s pod=%s does not take an order: %s", self._key, name, error)
            return False
        _LOG.info("model=%s pod=%s order=%s taken=%s", self._key, name, path, is_taken)
        return is_taken
