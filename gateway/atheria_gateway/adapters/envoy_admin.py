"""Envoy's admin interface on its unix socket: the models' counters, and the health check that fails at drain."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import aiohttp

from atheria_gateway.core.demand import EnvoyCounters, RevisionCalls
from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.cluster_names import read_cluster_name

_GRPC_FAULTS: Final = (2, 4, 12, 13, 14, 15)
"""Statuses that are the server's fault, as HTTP's 5xx are."""
_FAULTS: Final = tuple(f".grpc.{code}" for code in _GRPC_FAULTS)
_FILTER: Final = (
    r"^cluster\..*/.*\.upstream_rq_(active|total|retry)$"
    r"|^cluster\..*/revision/[^.]*\.(upstream_rq_(completed|5xx|time)|grpc\.[0-9]+)$"
)
_SUFFIXES: Final = (".upstream_rq_active", ".upstream_rq_total", ".upstream_rq_retry")
_BUCKET: Final = re.compile(r"B([0-9.e+]+)\([0-9]+,([0-9]+)\)")
_QUERY: Final = {"filter": _FILTER, "histogram_buckets": "disjoint"}
TIMEOUT_S: Final = 1.0
"""Of each question."""


class EnvoyAdmin:
    """EnvoyPort on the real admin interface."""

    def __init__(self, socket: str, timeout_s: float = TIMEOUT_S) -> None:
        """`socket` is the admin interface's path; nothing is opened yet."""
        self._socket = socket
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def counters(self) -> Mapping[ModelKey, EnvoyCounters]:
        """Calls active and arrived by model, from the clusters that the data listener uses."""
        return parse_counters(await self._ask("GET", "/stats", _QUERY))

    async def allocated_bytes(self) -> int:
        """GET /memory."""
        try:
            return int(json.loads(await self._ask("GET", "/memory"))["allocated"])
        except (KeyError, ValueError) as error:
            raise self._unread(error) from error

    async def certificate_expiry_seconds(self) -> float | None:
        """GET /certs: the earliest expiry of what the listeners serve, since the epoch; None without a certificate."""
        try:
            return earliest_expiry_seconds(json.loads(await self._ask("GET", "/certs")))
        except (KeyError, ValueError) as error:
            raise self._unread(error) from error

    async def fail_health_check(self) -> None:
        """POST /healthcheck/fail."""
        await self._ask("POST", "/healthcheck/fail")

    async def _ask(self, method: str, path: str, query: Mapping[str, str] | None = None) -> str:
        """The answer's text. Raises OSError, also for none within the time."""
        if self._session is None:
            # aiohttp's own time limit loses a cancellation that comes in the same turn of the loop.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=self._socket, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session.request(method, f"http://envoy{path}", params=query) as answer,
            ):
                answer.raise_for_status()
                return await answer.text()
        except TimeoutError as error:
            raise OSError(f"{self._socket}: no answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise self._unread(error) from error

    def _unread(self, error: Exception) -> OSError:
        return OSError(f"{self._socket}: {type(error).__name__} {error}")


def earliest_expiry_seconds(certs: Mapping[str, Any]) -> float | None:
    """Of the chains in Envoy's answer to GET /certs; authorities of callers are left out. KeyError, ValueError for others."""
    ends = [
        datetime.fromisoformat(one["expiration_time"]).timestamp()
        for entry in certs.get("certificates") or ()
        for one in entry.get("cert_chain") or ()
    ]
    return min(ends, default=None)


def parse_counters(text: str) -> dict[ModelKey, EnvoyCounters]:
    """Sum `cluster.<ns>/<model>…: N` lines by model and by revision; clusters of pods only are left out."""
    sums: dict[ModelKey, dict[str, int]] = {}
    revisions: dict[ModelKey, dict[str, RevisionCalls]] = {}
    for line in text.splitlines():
        name, colon, value = line.rpartition(": ") if "(" not in line else line.partition(": ")
        target = read_cluster_name(name.removeprefix("cluster.").partition(".")[0])
        if not colon or target is None or target.pods_only:
            continue
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
        if suffix and value.isdigit():
            figures = sums.setdefault(target.model, {})
            figures[suffix] = figures.get(suffix, 0) + int(value)
        elif target.revision:
            known = revisions.setdefault(target.model, {})
            before = known.get(target.revision, RevisionCalls(revision=target.revision))
            known[target.revision] = _with(before, name, value, http=target.http)
    return {
        model: EnvoyCounters(
            active_requests=figures.get(_SUFFIXES[0], 0),
            arrivals_total=max(0, figures.get(_SUFFIXES[1], 0) - figures.get(_SUFFIXES[2], 0)),
            revisions=tuple(one for _, one in sorted(revisions.get(model, {}).items())),
        )
        for model, figures in sums.items()
    }


def _with(before: RevisionCalls, name: str, value: str, *, http: bool) -> RevisionCalls:
    """The figures of a revision with one more line of the statistics."""
    if name.endswith(".upstream_rq_time"):
        if name.endswith(".external.upstream_rq_time"):
            return before
        latency = dict(before.latency)
        for bound, count in _BUCKET.findall(value):
            seconds = float(bound) / 1000
            latency[seconds] = latency.get(seconds, 0) + int(count)
        return replace(before, latency=tuple((bound, n) for bound, n in sorted(latency.items()) if n))
    if not value.isdigit():
        return before
    if name.endswith(".upstream_rq_completed"):
        return replace(before, calls=before.calls + int(value))
    # What Envoy itself answers to a gRPC call counts under both names.
    if name.endswith(".upstream_rq_5xx" if http else _FAULTS):
        return replace(before, errors=before.errors + int(value))
    return before
