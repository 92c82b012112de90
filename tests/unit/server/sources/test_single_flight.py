"""Processes of one node that need the same files: one downloads, the others wait; a dead one holds nobody up."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_server.sources.errors import NotReachableError
from atheria_server.sources.limits import DownloadLimits
from atheria_server.sources.progress import Transfer
from atheria_server.sources.resolve import resolve
from atheria_server.sources.single_flight import alone

HOLD = """
import sys, pathlib
from atheria_server.sources.single_flight import alone
with alone(pathlib.Path(sys.argv[1]), wait_seconds=0, report_seconds=1, waiting=print):
    print("held", flush=True)
    sys.stdin.read()
"""
RESOLVE = """
import sys, pathlib
from atheria_server.sources.resolve import resolve
found = resolve(
    sys.argv[1], cache_directory=pathlib.Path(sys.argv[2]), progress=lambda told: print(told.state, flush=True)
)
print(found.downloaded_bytes)
"""


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def _run(script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield _run
    for process in started:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def holder(run: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> subprocess.Popen[str]:
    process = run(HOLD, str(tmp_path / "lock"))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_processes_that_resolve_at_once_download_once(
    run: Callable[..., subprocess.Popen[str]], file_server: Any, remote: Any, tmp_path: Path
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    data = bytes(1 << 20)

    def read() -> None:
        begun.set()
        may_end.wait(60)

    file_server.files["/m.pt2"] = remote(data, on_read=read)
    processes = [run(RESOLVE, f"{file_server.url}/m.pt2", str(tmp_path)) for _ in range(3)]
    assert begun.wait(60)
    # The one that downloads is held by the server while the others come to the lock.
    outputs = [process.stdout for process in processes if process.stdout is not None]
    states: queue.Queue[str] = queue.Queue()
    for output in outputs:
        threading.Thread(target=lambda o=output: states.put(o.readline().strip()), daemon=True).start()
    assert sorted(states.get(timeout=60) for _ in outputs) == ["downloading", "waiting", "waiting"]
    may_end.set()
    found = sorted(int(process.communicate(timeout=60)[0].split()[-1]) for process in processes)
    assert found == [0, 0, len(data)]
    assert file_server.sent == len(data)


def test_who_waits_says_so_and_gives_up_after_its_time(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    waits: list[float] = []
    with (
        pytest.raises(NotReachableError, match="another process has held"),
        alone(tmp_path / "lock", wait_seconds=2, report_seconds=0.05, waiting=waits.append),
    ):
        pass
    assert len(waits) > 1


def test_a_waiting_download_reports_what_has_come_so_far(
    file_server: Any, remote: Any, tmp_path: Path, limits: DownloadLimits
) -> None:
    file_server.files["/m.pt2"] = remote(bytes(1 << 20), stall_after=[1 << 19])
    url = f"{file_server.url}/m.pt2"
    first = threading.Thread(
        target=lambda: resolve(url, cache_directory=tmp_path, limits=limits), daemon=True
    )
    first.start()
    assert file_server.stalled.wait(30)
    waiting: list[Transfer] = []

    def told(transfer: Transfer) -> None:
        waiting.append(transfer)
        file_server.released.set()

    assert resolve(url, cache_directory=tmp_path, limits=limits, progress=told).path.stat().st_size == 1 << 20
    first.join(30)
    assert waiting[0].state == "waiting"
    assert waiting[0].done_bytes <= 1 << 19
    assert waiting[0].total_bytes == 1 << 20


def test_the_lock_of_a_dead_process_is_free(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.wait(10)
    with alone(tmp_path / "lock", wait_seconds=10, report_seconds=1, waiting=lambda _: None):
        assert (tmp_path / "lock").exists()
