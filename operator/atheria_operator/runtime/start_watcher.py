"""Asks the starting pods of one model how far they are, and reads what others say about those that wait for a node or an image.

Runs in the loop of the report reader, so that a pod that does not answer never delays reconciling. Bounded: a pod is asked every
two seconds, less often the more models start at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Final

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Body, Observed, is_leaving
from atheria_operator.domain.pods import Told, is_ready, report_url, start_key, start_times, tls_host
from atheria_operator.domain.status.phases import read_step
from atheria_operator.domain.status.pod_events import read_pod_events
from atheria_operator.domain.status.rest import Rest, read_rest
from atheria_operator.runtime.ports import Clock, ClusterError, PodEvents, PodReports, ReportError

_LOG = logging.getLogger(__name__)
ASK_SECONDS: Final = 2.0
"""Between two questions to a starting pod."""
EVENTS_SECONDS: Final = 5.0
"""Between two looks at the Events of a pod that waits."""
PER_SECOND: Final = 25
"""Questions of all models together, about."""
REST_SECONDS: Final = 30.0
"""Between two questions to a pod that sleeps."""
PODS_ASKED: Final = 4
"""Starting pods of one model that are asked, the oldest ones; one is shown."""


class StartWatcher:
    """Keeps `told` (by `pods.start_key`) to what is known of the starting pods of one model."""

    def __init__(
        self,
        key: ModelKey,
        pods: PodReports,
        events: PodEvents,
        clock: Clock,
        told: MutableMapping[str, Told],
        starting: set[ModelKey],
        rests: MutableMapping[str, Rest] | None = None,
    ) -> None:
        """`told` and `rests`, of sleeping pods, are read by the reconcile loop; `starting` is shared by all models: those that ask now."""
        self._key = key
        self._pods = pods
        self._events = events
        self._clock = clock
        self._told = told
        self._starting = starting
        self._rests: MutableMapping[str, Rest] = {} if rests is None else rests
        self._asked_seconds: dict[str, float] = {}

    async def round(self, observed: Observed) -> tuple[bool, float | None]:
        """(has something changed, seconds until the next question or None when no pod starts)."""
        begun = [pod for pod in observed.pods if not is_ready(pod) and not is_leaving(pod)]
        begun.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))
        keys = {start_key(pod): pod for pod in begun}
        resting = {start: pod for start, pod in keys.items() if start in self._rests}
        is_falling = any(not self._rests[start].is_asleep for start in resting)
        pods = dict([one for one in keys.items() if one[0] not in resting][:PODS_ASKED])
        is_starting = bool(pods)
        pods |= resting
        for known in (self._told, self._asked_seconds):
            for gone in set(known) - set(pods):
                del known[gone]
        if not pods:
            self.close()
            return False, None
        if is_starting:
            self._starting.add(self._key)
        else:
            self.close()
        every = max(ASK_SECONDS, len(self._starting) / PER_SECOND)
        if not is_starting and not is_falling:
            every = REST_SECONDS
        now = self._clock.monotonic_seconds()
        due = [start for start, pod in pods.items() if self._is_due(start, pod, now, every)]
        changed = await asyncio.gather(*(self._ask(start, pods[start]) for start in due))
        return any(changed), every

    def close(self) -> None:
        """This model asks no more."""
        self._starting.discard(self._key)

    def _is_due(self, start: str, pod: Body, now: float, every: float) -> bool:
        asked = self._asked_seconds.get(start)
        if start in self._rests and self._rests[start].is_asleep:
            return asked is None or now - asked >= REST_SECONDS - every / 2
        # Half an interval of slack: the loop comes by about as often as it asks.
        pause = every if start_times(pod).running else max(every, EVENTS_SECONDS)
        return asked is None or now - asked >= pause - every / 2

    async def _ask(self, start: str, pod: Body) -> bool:
        self._asked_seconds[start] = self._clock.monotonic_seconds()
        before, slept = self._told.get(start, Told()), self._rests.get(start)
        after = await (self._step(pod, before) if start_times(pod).running else self._words(pod, before))
        self._told[start] = after
        return after != before or self._rests.get(start) != slept

    async def _step(self, pod: Body, before: Told) -> Told:
        url = report_url(pod, names.PATH_READY)
        if not url:
            return before
        try:
            answer = await self._pods.fetch(url, may_be_unready=True, host=tls_host(pod, self._key))
        except ReportError as error:
            # Its front end may not listen yet; the last step it told stays.
            _LOG.debug("model=%s pod=%s does not say how far it is: %s", self._key, _name(pod), error)
            return before
        self._rest(start_key(pod), read_rest(answer))
        return replace(before, step=read_step(answer) or before.step)

    def _rest(self, start: str, rest: Rest | None) -> None:
        """A pod that wakes is not one that sleeps any more, whatever was ordered."""
        if rest is None:
            self._rests.pop(start, None)
        else:
            known = self._rests.get(start)
            self._rests[start] = replace(rest, ordered_seconds=known.ordered_seconds if known else None)

    async def _words(self, pod: Body, before: Told) -> Told:
        try:
            events = await self._events.events_of_pod(
                self._key.namespace, str(pod["metadata"].get("uid") or "")
            )
        except ClusterError as error:
            _LOG.debug("model=%s pod=%s: its Events cannot be read: %s", self._key, _name(pod), error)
            return before
        return replace(before, words=read_pod_events(events))


def _name(pod: Body) -> str:
    return str(pod["metadata"]["name"])
