"""The dashboard GPU, asked through a real Prometheus that scraped a DCGM exporter's text in both ways that scrapers name pods, or none."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from atheria_local import promtool
from atheria_local.free_ports import free_port
from bench.dashboards import panels, prometheus
from tests.contract import expositions

BOARD: Final = Path(__file__).parents[3] / "charts" / "atheria" / "dashboards" / "atheria-gpu.json"
DCGM: Final = Path(__file__).with_name("dcgm.prom")
MODEL_POD: Final = {"namespace": "demo", "pod": "qca-6f1c-7d9f-abcde"}
"""Holds GPU 0 in that file."""
EXPORTER_POD: Final = {"namespace": "gpu-operator", "pod": "dcgm-exporter-x"}
VARIABLES: Final = {"__rate_interval": "4s", "__range": "60s", "namespace": ".*", "node": ".*"}
WAIT_SECONDS: Final = 90.0
Answers = dict[str, list[tuple[dict[str, str], list[float]]]]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not promtool.find(promtool.SERVER),
        reason="Prometheus is neither in PATH nor in the cache: `make setup`",
    ),
]


class _Texts(http.server.BaseHTTPRequestHandler):
    """Answers `/NAME` with the text of that name."""

    def __init__(self, texts: Mapping[str, bytes], *arguments: Any) -> None:
        self._texts = texts
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """As an exporter."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.end_headers()
        self.wfile.write(self._texts[self.path.removeprefix("/")])

    def log_message(self, *_: Any) -> None:
        """Not for people."""


@contextmanager
def exporters(texts: Mapping[str, bytes]) -> Iterator[str]:
    """host:port under which each text has a path of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Texts, texts))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(WAIT_SECONDS)


@contextmanager
def scraping(folder: Path, jobs: list[dict[str, Any]]) -> Iterator[int]:
    """The port of a Prometheus with these jobs."""
    port = free_port()
    file = folder / "prometheus.yaml"
    often = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    file.write_text(yaml.safe_dump({"global": often, "scrape_configs": jobs}), encoding="utf-8")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            prometheus.command(file, folder / "data", port), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _job(address: str, name: str, labels: Mapping[str, str], *, honors: bool) -> dict[str, Any]:
    targets = [{"targets": [address], "labels": dict(labels)}]
    return {"job_name": name, "metrics_path": f"/{name}", "honor_labels": honors, "static_configs": targets}


def look(folder: Path, *, dcgm: bool, honors: bool = False) -> Answers:
    """What each panel shows, by its title, once Prometheus has scraped all there is."""
    texts = {"operator": expositions.operator(), "server": expositions.server(), "dcgm": DCGM.read_bytes()}
    with exporters(texts) as address:
        jobs = [
            _job(address, "operator", {}, honors=True),
            _job(address, "server", MODEL_POD, honors=False),
            *([_job(address, "dcgm", EXPORTER_POD, honors=honors)] if dcgm else []),
        ]
        with scraping(folder, jobs) as port:
            return asyncio.run(_asked(port, len(jobs)))


async def _asked(port: int, jobs: int) -> Answers:
    async with asyncio.timeout(WAIT_SECONDS), prometheus.Answers(port) as answers:
        await answers.wait()
        # All is asked for the moment at which each job's last scrape is known to have gone well.
        while True:
            at = time.time()
            if len(await answers.instant("up == 1", at)) == jobs:
                break
            await asyncio.sleep(0.2)
        board = json.loads(BOARD.read_text(encoding="utf-8"))
        found: Answers = {}
        for asked in panels.queries(board, VARIABLES):
            shown = await answers.over(asked.query, at - 5, at, 1)
            found[asked.panel] = shown
            assert not shown or panels.complaint(asked, shown) == "", asked.panel
    return found


@pytest.mark.parametrize("honors", [True, False], ids=["pod", "exported_pod"])
def test_every_panel_has_data_where_an_exporter_is_scraped(tmp_path: Path, honors: bool) -> None:
    found = look(tmp_path, dcgm=True, honors=honors)
    assert [title for title, shown in found.items() if not shown] == []

    def last(title: str) -> dict[tuple[str, ...], float]:
        return {tuple(labels[key] for key in sorted(labels)): values[-1] for labels, values in found[title]}

    assert last("GPUs seen") == {(): 3}
    assert last("GPUs without work") == {(): 1}
    assert last("Busy") == {("gpu-node-1", "0"): 87, ("gpu-node-1", "1"): 0}
    assert last("Memory in use")["gpu-node-1", "2"] == 6608, "the larger of two slices"
    assert last("Busy by model") == {("m", "demo"): 87}
    assert last("Tensor cores by model") == {("m", "demo"): pytest.approx(0.310551)}


def test_without_an_exporter_panels_are_empty_and_what_needs_none_is_still_there(tmp_path: Path) -> None:
    found = look(tmp_path, dcgm=False)
    assert {title for title, shown in found.items() if shown} == {"Devices by model"}
    assert len(found) > 10
