"""Envoy's admin interface on its unix socket: the models' counters, and the health check that fails at drain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import aiohttp

from atheria_gateway.core.demand import EnvoyCounters
from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.cluster_names import model_of_cluster

_FILTER: Final = r"^cluster\..*/.*\.upstream_rq_(active|total|retry)$"
_SUFFIXES: Final = (".upstream_rq_active", ".upstream_rq_total", ".upstream_rq_retry")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2)


class EnvoyAdmin:
    """EnvoyPort on the real admin interface."""

    def __init__(self, socket: str) -> None:
        """`socket` is the admin interface's path; nothing is opened yet."""
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def counters(self) -> Mapping[ModelKey, EnvoyCounters]:
        """Calls active and arrived by model, from the clusters that the data listener uses."""
        try:
            async with self._opened().get("http://envoy/stats", params={"filter": _FILTER}) as answer:
                answer.raise_for_status()
                return parse_counters(await answer.text())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"{self._socket}: {type(error).__name__} {error}") from error

    async def fail_health_check(self) -> None:
        """POST /healthcheck/fail."""
        try:
            async with self._opened().post("http://envoy/healthcheck/fail") as answer:
                answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"{self._socket}: {type(error).__name__} {error}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=self._socket, force_close=True), timeout=_TIMEOUT
            )
        return self._session


def parse_counters(text: str) -> dict[ModelKey, EnvoyCounters]:
    """Sum `cluster.<ns>/<model>[/http].upstream_rq_*: N` lines by model; clusters of pods only are left out."""
    sums: dict[ModelKey, dict[str, int]] = {}
    for line in text.splitlines():
        name, colon, value = line.rpartition(": ")
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
        if not (colon and suffix and value.isdigit()):
            continue
        target = model_of_cluster(name.removeprefix("cluster.").removesuffix(suffix))
        if target is None or target[2]:
            continue
        figures = sums.setdefault(target[0], {})
        figures[suffix] = figures.get(suffix, 0) + int(value)
    return {
        model: EnvoyCounters(
            active_requests=figures.get(_SUFFIXES[0], 0),
            arrivals_total=max(0, figures.get(_SUFFIXES[1], 0) - figures.get(_SUFFIXES[2], 0)),
        )
        for model, figures in sums.items()
    }
