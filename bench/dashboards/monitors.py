"""The chart's PodMonitors as what Prometheus is told: scrape jobs, and which pods they select. Pure.

Prometheus' operator writes jobs that ask the API server; Debian's Prometheus cannot ask it, so here the pods come as files, of
the same selectors, ports and labels. For the end-to-end test of the dashboards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from atheria_local.label_selector import selects

Object = Mapping[str, Any]
_ENDPOINT_KEYS: Final = {"port", "interval", "honorLabels", "path", "scheme"}
_SPEC_KEYS: Final = {"selector", "namespaceSelector", "podMetricsEndpoints"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One endpoint of one PodMonitor."""

    name: str
    """`namespace/monitor`, the label `job` of its series."""
    namespaces: frozenset[str] | None
    """Where its pods are; None = everywhere."""
    selector: Object
    endpoint: Object

    @property
    def file(self) -> str:
        """Name of the file with its targets."""
        return f"{self.name.replace('/', '-')}-{self.endpoint['port']}.json"


def jobs(monitors: Iterable[Object]) -> list[Job]:
    """Of PodMonitors. ValueError for a field that is not understood here."""
    found = []
    for monitor in monitors:
        meta, spec = monitor["metadata"], monitor["spec"]
        _refuse_unknown(f"PodMonitor {meta['name']}", spec, _SPEC_KEYS)
        where = spec.get("namespaceSelector", {})
        own = frozenset(where.get("matchNames") or [meta["namespace"]])
        for endpoint in spec["podMetricsEndpoints"]:
            _refuse_unknown(f"an endpoint of PodMonitor {meta['name']}", endpoint, _ENDPOINT_KEYS)
            job = Job(
                name=f"{meta['namespace']}/{meta['name']}",
                namespaces=None if where.get("any") else own,
                selector=spec["selector"],
                endpoint=endpoint,
            )
            found.append(job)
    return found


def configuration(jobs_: Sequence[Job], folder: str, scrape_seconds: float) -> str:
    """Of Prometheus, as YAML; the targets are read from `folder`. Scrapes come at `scrape_seconds` instead of the monitors'
    interval, so that a test need not wait for them."""
    scrapes = [
        {
            "job_name": f"{job.name}/{job.endpoint['port']}",
            "honor_labels": job.endpoint.get("honorLabels", False),
            "metrics_path": job.endpoint.get("path", "/metrics"),
            "scheme": job.endpoint.get("scheme", "http"),
            "file_sd_configs": [
                {"files": [f"{folder}/{job.file}"], "refresh_interval": f"{scrape_seconds}s"}
            ],
        }
        for job in jobs_
    ]
    every = {"scrape_interval": f"{scrape_seconds}s", "scrape_timeout": f"{scrape_seconds}s"}
    return yaml.safe_dump({"global": every, "scrape_configs": scrapes})


def targets(job: Job, pods: Iterable[Object]) -> list[dict[str, Any]]:
    """What Prometheus' file discovery reads: the pods that the job selects, with the labels that Prometheus' operator gives them."""
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
            "labels": {
                "job": job.name,
                "namespace": pod["metadata"]["namespace"],
                "pod": pod["metadata"]["name"],
                "container": container["name"],
                "endpoint": port["name"],
            },
        }
        for pod in pods
        if _is_meant(job, pod)
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
        if port.get("name") == job.endpoint["port"]
    ]


def _is_meant(job: Job, pod: Object) -> bool:
    status = pod.get("status", {})
    return (
        (job.namespaces is None or pod["metadata"]["namespace"] in job.namespaces)
        and bool(status.get("podIP"))
        and status.get("phase") not in ("Succeeded", "Failed")
        and selects(job.selector, pod["metadata"].get("labels", {}))
    )


def _refuse_unknown(what: str, found: Object, known: set[str]) -> None:
    if unknown := sorted(set(found) - known):
        raise ValueError(
            f"{what} has {unknown[0]!r}, which is not understood here: known are {sorted(known)}"
        )
