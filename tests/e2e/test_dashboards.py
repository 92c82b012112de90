"""Every panel after calls to a model, through a real Prometheus that scrapes whatever the chart's PodMonitors select on the cluster."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_cli.cluster import Cluster
from atheria_cli.demo.show import SYSTEM_NAMESPACE
from atheria_contract import names
from atheria_local import promtool
from bench.dashboards import monitors, panels, prometheus
from bench.dashboards.callers import Callers
from bench.dashboards.models import PROFILE, PROFILE_BODY, QCA
from bench.release.local_cluster import CHART, chart_arguments
from tests.e2e.model import GATEWAY, NAMESPACE, apply, delete

PORT = 9098
RATE_SECONDS = 4 * prometheus.SCRAPE_SECONDS
ANSWER_SECONDS = 180.0
PANELS_SECONDS = 240.0

pytestmark = pytest.mark.skipif(
    not promtool.find(promtool.SERVER), reason="Prometheus is neither in PATH nor in the cache: `make setup`"
)


def _monitors(cluster: Cluster) -> list[dict[str, Any]]:
    said = cluster.helm(
        *("template", "atheria", *chart_arguments(CHART), "-n", SYSTEM_NAMESPACE),
        *("--set", "monitoring.enabled=true", "--api-versions", "monitoring.coreos.com/v1"),
        *("--show-only", "templates/monitoring.yaml"),
    )
    return [item for item in yaml.safe_load_all(said) if item and item["kind"] == "PodMonitor"]


@contextlib.contextmanager
def _prometheus(jobs: list[monitors.Job], folder: Path) -> Iterator[None]:
    file = folder / "prometheus.yaml"
    said = monitors.configuration(jobs, str(folder), prometheus.SCRAPE_SECONDS)
    file.write_text(said, encoding="utf-8")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            prometheus.command(file, folder / "data", PORT), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


async def _tell_targets(cluster: Cluster, jobs: list[monitors.Job], folder: Path) -> None:
    """Which pods each job selects, until cancelled."""
    while True:
        said = await asyncio.to_thread(cluster.kubectl, "get", "pods", "-A", "-o", "json")
        pods = json.loads(said)["items"]
        for job in jobs:
            part = folder / f"{job.file}.part"
            part.write_text(json.dumps(monitors.targets(job, pods)), encoding="utf-8")
            part.rename(folder / job.file)
        await asyncio.sleep(prometheus.SCRAPE_SECONDS)


@contextlib.asynccontextmanager
async def _meanwhile(*tasks: Any) -> AsyncIterator[None]:
    running = [asyncio.create_task(task) for task in tasks]
    try:
        yield
        assert not [task for task in running if task.done()], [
            task.exception() for task in running if task.done()
        ]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _complaints(answers: prometheus.Answers, begin: float, end: float) -> tuple[list[str], int]:
    """What is wrong with each panel, and how many queries have data. The model is no text model, and nobody evaluated it."""
    variables = {
        "__rate_interval": f"{RATE_SECONDS}s",
        "__range": f"{max(RATE_SECONDS, int(end - begin))}s",
        "namespace": NAMESPACE,
        "model": QCA.name,
        "node": ".*",
    }
    wrong, with_data = [], 0
    for file in sorted((CHART / "dashboards").glob("*.json")):
        for asked in panels.queries(json.loads(file.read_text(encoding="utf-8")), variables):
            if asked.is_instant:
                found = await answers.instant(asked.query, end)
            else:
                found = await answers.over(asked.query, begin, end, prometheus.SCRAPE_SECONDS)
            with_data += bool(found)
            if said := panels.complaint(
                asked, found, may_be_empty=(panels.OF_TEXT_MODELS, panels.OF_EVALUATED_MODELS)
            ):
                wrong.append(f"{asked.board} / {asked.panel}: {said}: {asked.query}")
    return wrong, with_data


async def _run(cluster: Cluster, jobs: list[monitors.Job], folder: Path) -> tuple[list[str], int]:
    callers = Callers(target=GATEWAY, namespace=NAMESPACE, model=QCA)
    stop, begin = asyncio.Event(), time.time()
    async with prometheus.Answers(PORT) as answers:
        await answers.wait()
        async with _meanwhile(_tell_targets(cluster, jobs, folder), callers.run(2, stop)):
            async with asyncio.timeout(ANSWER_SECONDS):
                await callers.first.wait()
            deadline = time.monotonic() + PANELS_SECONDS
            while True:
                end = time.time()
                wrong, with_data = await _complaints(answers, begin, end)
                if not wrong or time.monotonic() > deadline:
                    break
                # Costs are reckoned every three minutes, and whenever the model changes.
                note = ("annotate", names.MODEL_PLURAL, QCA.name, "-n", NAMESPACE, f"e2e/asked={end}")
                await asyncio.to_thread(cluster.kubectl, *note, "--overwrite")
                await asyncio.sleep(3 * prometheus.SCRAPE_SECONDS)
    assert not callers.failures, callers.failures[:3]
    return wrong, with_data


def test_every_panel_has_data_after_calls_to_a_model_that_was_at_zero(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Those of DCGM only have to be understood: there is no GPU."""
    jobs = monitors.jobs(_monitors(cluster))
    assert {job.name for job in jobs} == {
        f"{SYSTEM_NAMESPACE}/atheria-{part}" for part in ("operator", "gateway", "models")
    }
    apply(cluster, PROFILE_BODY)
    model = {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_KIND,
        "metadata": {"name": QCA.name, "namespace": NAMESPACE},
        "spec": dict(QCA.spec),
    }
    try:
        apply(cluster, model)
        with _prometheus(jobs, tmp_path):
            wrong, with_data = asyncio.run(_run(cluster, jobs, tmp_path))
    finally:
        delete(cluster, QCA.name)
        cluster.kubectl("delete", names.PROFILE_PLURAL, PROFILE)
    assert wrong == []
    assert with_data > 40
