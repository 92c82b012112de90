"""Reads what each newly ready pod of one model says it did to its model, once for each start of its container.

A loop of its own, so that a pod that does not answer never delays reconciling. The reports are kept in memory: after a
start of the operator the pods that are ready are asked again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.backoff import backoff_seconds
from atheria_operator.domain.names import revision_name
from atheria_operator.domain.observed import Body, Observed, revision_hash_of
from atheria_operator.domain.pods import is_ready, report_url, start_key, tls_host
from atheria_operator.domain.status.report import Parts, read_report
from atheria_operator.runtime.ports import Clock, PodReports, ReportError

_LOG = logging.getLogger(__name__)


class ReportReader:
    """Keeps `reports` (by `pods.start_key`) to those of the ready pods of one model."""

    def __init__(
        self, key: ModelKey, source: PodReports, clock: Clock, reports: MutableMapping[str, Parts]
    ) -> None:
        """`reports` is written here and read by the reconcile loop."""
        self._key = key
        self._source = source
        self._clock = clock
        self._reports = reports
        self._attempts: dict[str, int] = {}
        self._due_seconds: dict[str, float] = {}

    async def round(self, observed: Observed) -> tuple[bool, float | None]:
        """(is there a new report, seconds until the next try or None when there is none to make)."""
        ready = {start_key(pod): pod for pod in observed.pods if is_ready(pod) and report_url(pod)}
        for known in (self._reports, self._attempts, self._due_seconds):
            for gone in set(known) - set(ready):
                del known[gone]
        now = self._clock.monotonic_seconds()
        due = [
            start
            for start in ready
            if start not in self._reports and self._due_seconds.get(start, now) <= now
        ]
        read = await asyncio.gather(*(self._read(start, ready[start]) for start in due))
        waiting = [self._due_seconds[start] for start in ready if start in self._due_seconds]
        after = max(0.0, min(waiting) - self._clock.monotonic_seconds()) if waiting else None
        return any(read), after

    async def _read(self, start: str, pod: Body) -> bool:
        name = str(pod["metadata"]["name"])
        try:
            answer = await self._source.fetch(report_url(pod), host=tls_host(pod, self._key))
        except ReportError as error:
            self._failed(start, name, error)
            return False
        revision = revision_name(self._key.name, revision_hash_of(pod))
        self._reports[start] = read_report(answer, revision=revision, pod=name)
        self._due_seconds.pop(start, None)
        return True

    def _failed(self, start: str, pod: str, error: ReportError) -> None:
        if error.is_final:
            # Not asked again: an empty report stands for none.
            self._reports[start] = {}
            self._due_seconds.pop(start, None)
            _LOG.warning("model=%s pod=%s has no report, not asked again: %s", self._key, pod, error)
            return
        attempt = self._attempts[start] = self._attempts.get(start, 0) + 1
        wait_seconds = backoff_seconds(attempt, self._clock.jitter())
        self._due_seconds[start] = self._clock.monotonic_seconds() + wait_seconds
        level = logging.WARNING if attempt == 1 else logging.DEBUG
        _LOG.log(
            level, "model=%s pod=%s no report yet, again in %.1f s: %s", self._key, pod, wait_seconds, error
        )
