"""Tells the ReplicaSets which pods to delete before one of them gets smaller: asks the pods what they have in flight. Used by the scaling loop.

Nothing here may keep a decision from being written: a pod that does not answer within the port's seconds is one whose load is unknown, and a
cost that cannot be written is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Body
from atheria_operator.domain.pods import in_flight_question, is_ready, report_url, tls_host
from atheria_operator.domain.scaling.deletion_cost import calls_in_metrics, cost_of, deletion_costs, is_ours
from atheria_operator.runtime.ports import ClusterError, ClusterWriter, ObjectRef, PodReports, ReportError

_LOG = logging.getLogger(__name__)


class DeletionCosts:
    """Of the pods of one model; they are given by revision, oldest first, without those that go already."""

    def __init__(self, key: ModelKey, cluster: ClusterWriter, reports: PodReports) -> None:
        """Nothing is asked or written yet."""
        self._key = key
        self._cluster = cluster
        self._reports = reports

    async def mark(self, pods: Sequence[Body], wanted: int) -> None:
        """Before a revision with `pods` is lowered to `wanted`: the idlest get the lowest costs. One that has a cost of a person keeps it."""
        going = len(pods) - wanted
        if wanted <= 0 or going <= 0:
            return
        asked = [pod for pod in pods if is_ready(pod) and (cost_of(pod) is None or is_ours(cost_of(pod)))]
        loads = await asyncio.gather(*(self._in_flight(pod) for pod in asked))
        by_name = {_name(pod): load for pod, load in zip(asked, loads, strict=True)}
        costs = deletion_costs(by_name, going)
        if costs:
            _LOG.info("model=%s going=%s in_flight=%s", self._key, sorted(costs), by_name)
        await self._write({_name(pod): pod for pod in asked}, costs)

    async def take_back(self, pods: Sequence[Body], wanted: int) -> None:
        """Once no pod of a revision goes: those that stayed, because somebody raised it meanwhile, cost nothing again."""
        marked = {_name(pod): pod for pod in pods if is_ours(cost_of(pod))}
        if marked and len(pods) <= wanted:
            await self._write(marked, {})

    async def _in_flight(self, pod: Body) -> int | None:
        url, (metrics_url, series) = report_url(pod, names.PATH_READY), in_flight_question(pod)
        try:
            if metrics_url:
                return calls_in_metrics(await self._reports.fetch_text(metrics_url), series)
            if not url:
                return None
            answer = await self._reports.fetch(url, host=tls_host(pod, self._key))
        except ReportError as error:
            _LOG.debug("model=%s pod=%s does not say what it has in flight: %s", self._key, _name(pod), error)
            return None
        calls = answer.get(names.READY_IN_FLIGHT) if isinstance(answer, Mapping) else None
        return calls if isinstance(calls, int) and calls >= 0 else None

    async def _write(self, pods: Mapping[str, Body], costs: Mapping[str, int]) -> None:
        """The costs of all `pods`: none where there is none in `costs`. What is written already is not written again."""
        for name, pod in pods.items():
            cost = costs.get(name)
            if cost == cost_of(pod):
                continue
            ref = ObjectRef(api_version="v1", kind="Pod", namespace=self._key.namespace, name=name)
            try:
                await self._cluster.set_deletion_cost(ref, str(pod["metadata"].get("uid") or ""), cost)
            except ClusterError as error:
                _LOG.warning(
                    "model=%s pod=%s: its deletion cost cannot be written: %s", self._key, name, error
                )


def _name(pod: Body) -> str:
    return str(pod["metadata"]["name"])
