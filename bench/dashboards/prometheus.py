"""A real Prometheus that scrapes operator, activator and model pods as the chart's monitors have it, and its answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import yaml

from atheria_contract import names
from atheria_local import promtool

PORT: Final = 9099
SCRAPE_SECONDS: Final = 1
_START_SECONDS: Final = 60.0
_REQUEST: Final = aiohttp.ClientTimeout(total=30)


def configuration(targets: Path, operator_port: int, activator_port: int) -> str:
    """Of Prometheus. The operator and the gateways name the models' namespaces themselves, so their labels win; `targets` is a
    file with the pods, as `pod_targets` writes it (Debian's Prometheus cannot ask Kubernetes)."""
    own = [
        {
            "job_name": job,
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": f"{job}-0"}}],
        }
        for job, port in (("operator", operator_port), ("gateway", activator_port))
    ]
    found = [{"files": [str(targets)], "refresh_interval": f"{SCRAPE_SECONDS}s"}]
    pods = {"job_name": "models", "file_sd_configs": found}
    scraping = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    return yaml.safe_dump({"global": scraping, "scrape_configs": [*own, pods]})


def pod_targets(pods: Mapping[str, str], namespace: str) -> str:
    """What a pod monitor would find: `pods` is addresses by name."""
    return json.dumps(
        [
            {"targets": [f"{address}:{names.PORT_HTTP}"], "labels": {"namespace": namespace, "pod": name}}
            for name, address in pods.items()
        ]
    )


def command(file: Path, data: Path, port: int = PORT) -> list[str]:
    """How it is started; OSError where it is not installed."""
    program = promtool.find(promtool.SERVER)
    if not program:
        raise OSError(promtool.MISSING.replace(promtool.PROGRAM, promtool.SERVER))
    return [
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


class Answers:
    """Its HTTP API. Use as an async context manager."""

    def __init__(self, port: int = PORT) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession(timeout=_REQUEST)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def wait(self) -> None:
        """Until it is ready. TimeoutError."""
        async with asyncio.timeout(_START_SECONDS):
            while True:
                try:
                    async with self._session.get(f"{self._url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)

    async def instant(self, query: str, at: float) -> list[tuple[dict[str, str], list[float]]]:
        """(labels, one value) of each series. RuntimeError with Prometheus' own words."""
        found = await self._ask("query", {"query": query, "time": str(at)})
        if found["resultType"] == "scalar":
            return [({}, [float(found["result"][1])])]
        return [(one["metric"], [float(one["value"][1])]) for one in found["result"]]

    async def over(
        self, query: str, begin: float, end: float, step_seconds: float
    ) -> list[tuple[dict[str, str], list[float]]]:
        """(labels, values) of each series. RuntimeError with Prometheus' own words."""
        asked = {"query": query, "start": str(begin), "end": str(end), "step": str(step_seconds)}
        found = await self._ask("query_range", asked)
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in found["result"]]

    async def _ask(self, what: str, parameters: Mapping[str, str]) -> Any:
        async with self._session.get(f"{self._url}/api/v1/{what}", params=parameters) as answer:
            said = await answer.json()
        if said["status"] != "success":
            raise RuntimeError(f"{parameters['query']}: {said['error']}")
        return said["data"]
