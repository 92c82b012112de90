"""A server whose source comes slowly says how many bytes it has, in words that the operator understands."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from atheria_operator.domain.status.phases import Phase, Step, read_step
from tests.integration.server.harness import START_SECONDS, Server, eventually

EXAMPLE = Path(__file__).parents[3] / "examples" / "torch-program" / "export.py"
PIECES = 4000


class SlowSource:
    """Sends one piece of its file for each `permit`, the rest at once after `hurry`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._permits = threading.Semaphore(0)
        self._hurry = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Tests read no log."""

            def do_GET(self) -> None:
                outer.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/model.pt2"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        first, _, last = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        body = self.data[int(first) : int(last) + 1 if last else None]
        handler.send_response(206)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(self.data)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        size = len(self.data) // PIECES + 1
        for at in range(0, len(body), size):
            if len(body) > 1 and not self._hurry.is_set():
                self._permits.acquire()
            handler.wfile.write(body[at : at + size])

    def permit(self) -> None:
        self._permits.release()

    def hurry(self) -> None:
        self._hurry.set()
        self.permit()

    def close(self) -> None:
        self.hurry()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], SlowSource]]:
    sources: list[SlowSource] = []

    def _serve(data: bytes) -> SlowSource:
        sources.append(SlowSource(data))
        return sources[-1]

    yield _serve
    for source in sources:
        source.close()


def readiness(url: str) -> Any:
    """As a probe sees it."""
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def check_growth(source: SlowSource, url: str) -> None:
    """Three counts of bytes, each in an answer to a probe; then the model, at the same address."""
    seen: list[Step] = []

    def has_grown() -> bool:
        step = read_step(readiness(url))
        if step and step.phase is Phase.DOWNLOADING and step.done not in [one.done for one in seen]:
            seen.append(step)
        source.permit()
        return len(seen) >= 3

    eventually("a second and a third count of bytes", has_grown, 60)
    assert {step.total for step in seen} == {len(source.data)}
    assert [step.done for step in seen] == sorted({step.done for step in seen})
    assert seen[-1].done < len(source.data)
    with urllib.request.urlopen(f"{url}/v2/health/live", timeout=10) as answer:
        assert answer.status == 200
    source.hurry()

    def is_ready() -> bool:
        """The waiting room closes a connection whose question it has not read, when the server takes its place."""
        try:
            return bool(readiness(url).get("ready"))
        except (ConnectionError, http.client.HTTPException):
            return False

    eventually("the model at the same port", is_ready, START_SECONDS)


def test_a_source_that_comes_slowly_is_seen_to_grow(
    serve: Callable[[bytes], SlowSource], tmp_path: Path
) -> None:
    path = tmp_path / "model.pt2"
    subprocess.run([sys.executable, str(EXAMPLE), str(path)], check=True, capture_output=True, timeout=120)
    source = serve(path.read_bytes())
    server = Server(source.url, "--cache", str(tmp_path / "cache"))
    try:
        port = server.wait_line(r"event=listening_early http_port=(\d+)")[1]
        check_growth(source, f"http://127.0.0.1:{port}")
    finally:
        server.kill()


def test_what_a_models_own_setup_downloads_is_seen_to_grow(
    serve: Callable[[bytes], SlowSource], tmp_path: Path
) -> None:
    source = serve(os.urandom(1 << 20))
    settings = ["--set", f"url={source.url}", "--set", f"cache={tmp_path}"]
    with Server("python://fetching_api:FetchingApi", *settings, wait_ready=False) as server:
        check_growth(source, server.http)
