"""Changes of the release under steady calls: what each replaced, and what became of the calls meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from atheria_cli.cluster import Cluster, wait_for
from atheria_cli.demo.show import SYSTEM_NAMESPACE
from atheria_contract import names
from bench.release import local_cluster
from bench.release.calls import Call, SteadyCalls

PARTS: Final = ("gateway", "operator")
MORE_CALLS: Final = 100
"""That are still counted after the last old pod is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One command of Helm's, from its begin until the pods that it replaced are gone."""

    name: str
    helm_seconds: float
    seconds: float
    replaced: tuple[str, ...]
    """Of PARTS, those none of whose pods is one of before."""
    redefined: bool
    """Whether the API server got another definition of AtheriaModel."""
    sent_since: float
    """Unix time in seconds."""
    sent_until: float

    def calls(self, done: Iterable[Call]) -> list[Call]:
        """Those that were sent meanwhile."""
        return [call for call in done if self.sent_since <= call.sent_at < self.sent_until]


def change(cluster: Cluster, calls: SteadyCalls, name: str, *helm: str) -> Change:
    """Run Helm, wait for the end of the pods that it replaced, and for some more calls."""
    before, defined = pods_of(cluster), _definition(cluster)
    began, sent_since = time.monotonic(), time.time()
    cluster.helm(*helm, *local_cluster.helm_arguments())
    helm_seconds = time.monotonic() - began
    _wait_for_the_end_of_old_pods(cluster)
    calls.wait_for_more(MORE_CALLS)
    after = pods_of(cluster)
    return Change(
        name=name,
        helm_seconds=helm_seconds,
        seconds=time.monotonic() - began,
        replaced=tuple(part for part in PARTS if after[part] and not after[part] & before[part]),
        redefined=_definition(cluster) != defined,
        sent_since=sent_since,
        sent_until=time.time(),
    )


def upgrade(cluster: Cluster, calls: SteadyCalls, *values: str) -> Change:
    """To the present chart."""
    arguments = local_cluster.chart_arguments(local_cluster.CHART, values)
    return change(cluster, calls, "helm upgrade", "upgrade", "atheria", *arguments)


def rollback(cluster: Cluster, calls: SteadyCalls) -> Change:
    """To the revision before."""
    return change(cluster, calls, "helm rollback", "rollback", "atheria")


def pods_of(cluster: Cluster) -> dict[str, frozenset[str]]:
    """Names of the pods of each part, those that are being deleted included."""
    return {
        part: frozenset(pod["metadata"]["name"] for pod in cluster.pods(SYSTEM_NAMESPACE, _selector(part)))
        for part in PARTS
    }


def _wait_for_the_end_of_old_pods(cluster: Cluster) -> None:
    def ending() -> list[str]:
        return [
            pod["metadata"]["name"]
            for part in PARTS
            for pod in cluster.pods(SYSTEM_NAMESPACE, _selector(part))
            if "deletionTimestamp" in pod["metadata"]
        ]

    wait_for(
        "the end of the old pods",
        lambda: True if not ending() else None,
        timeout_seconds=local_cluster.WAIT_SECONDS,
        describe=lambda: str(ending()),
    )


def _definition(cluster: Cluster) -> str:
    plural = f"{names.MODEL_PLURAL}.{names.GROUP}"
    return cluster.kubectl("get", "customresourcedefinition", plural, "-o", "jsonpath={.spec.versions}")


def _selector(part: str) -> str:
    return f"app.kubernetes.io/instance=atheria,app.kubernetes.io/component={part}"
