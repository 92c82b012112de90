"""The live page as `atheria demo` runs it (a real Envoy, activator, autoscaler and server), and a Chromium to look at it.

For this bench, for the integration tests of the page, and for the tool that takes its picture.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from atheria_local.prerequisites import BROWSERS

START_SECONDS: Final = 120.0
ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def chromium_program() -> str | None:
    """Path of a Chromium, or None where there is none on PATH."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def chromium(program: str) -> Iterator[Any]:
    """A running browser of Playwright's, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Stack:
    """`python -m atheria_local.standalone` with the model of a manifest; `with` waits until a replica is ready."""

    def __init__(self, manifest: Path) -> None:
        self._manifest = manifest

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "atheria_local.standalone", str(self._manifest)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            end = time.monotonic() + START_SECONDS
            self.url = f"http://127.0.0.1:{self._event('listening', end)['http']}/live/"
            while not self._event("state", end)["ready"]:
                pass
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def kill_server(self) -> None:
        """End the model's server as a node's death does, with all of its processes."""
        (server,) = [pid for pid in _children(self._process.pid) if b"atheria_server" in _command(pid)]
        for pid in (server, *_descendants(server)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _event(self, name: str, end: float) -> dict[str, Any]:
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"waited {START_SECONDS:g} s for the event {name!r}") from None
            assert line, f"the stack ended before the event {name!r}"
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                status = (entry / "stat").read_text()
                if int(status.rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found


def _descendants(pid: int) -> list[int]:
    children = _children(pid)
    return children + [one for child in children for one in _descendants(child)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
