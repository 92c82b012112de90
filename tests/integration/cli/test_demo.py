"""`atheria demo` without a cluster: 0 -> n -> 0 with real processes, and nothing left however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pages.figures import print_figure

pytestmark = pytest.mark.integration


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files; pytest's own is too long for the path of a socket."""
    with tempfile.TemporaryDirectory(prefix="demo-test-", dir="/tmp") as made:
        yield Path(made)


WAIT_SECONDS = 120.0


def start(folder: Path) -> subprocess.Popen[str]:
    """In a folder for temporary files of its own, by which its processes are known."""
    return subprocess.Popen(
        [sys.executable, "-m", "atheria_cli", "demo", "-o", "json", "--picture", str(folder / "frames.png")],
        env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_behind(folder: Path) -> list[str]:
    """Command lines of processes that name the folder or have it as theirs for temporary files."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            about = command + (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in about:
            found.append(command)
    return found


def eventually(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS:g} s: {what}"
        time.sleep(0.1)


def end(demo: subprocess.Popen[str]) -> None:
    """Whatever it does; its pipes too, which a failed test leaves open."""
    demo.kill()
    with demo:
        pass


def first_line(demo: subprocess.Popen[str]) -> str:
    assert demo.stdout is not None
    return demo.stdout.readline()


def test_the_show_goes_from_zero_to_two_pods_and_back_without_a_lost_call(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    demo = start(folder)
    out, errors = demo.communicate(timeout=270)
    whole_seconds = time.monotonic() - began
    assert demo.returncode == 0, errors
    steps = [json.loads(line) for line in out.splitlines()]
    first_seconds = steps[0]["seconds"] + steps[1]["seconds"]
    print_figure(
        capsys,
        f"atheria demo: first answer after {first_seconds:.1f} s, all {whole_seconds:.1f} s (measured)",
    )
    assert len(steps) == 6
    woken, burst, frames, idle = steps[1], steps[3], steps[4], steps[5]
    assert "finds 0 pods" in woken["step"]
    assert woken["norm"] == pytest.approx(1.0, abs=1e-3)
    assert burst["lost"] == 0
    assert burst["calls"] > 0
    assert burst["pods"] == 2, burst
    assert frames["frames"] == 32
    assert idle["decision"].startswith("Idle")
    assert (folder / "frames.png").read_bytes().startswith(b"\x89PNG")
    eventually("all its processes have ended", lambda: not left_behind(folder))
    assert not list(folder.glob("atheria-demo-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_it_is_interrupted_or_killed(folder: Path, number: signal.Signals) -> None:
    demo = start(folder)
    try:
        assert "autoscaler run" in first_line(demo)
        eventually("a server process", lambda: any("atheria_server" in line for line in left_behind(folder)))
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=WAIT_SECONDS)
    finally:
        end(demo)
    assert "Traceback" not in errors
    assert demo.returncode == {signal.SIGINT: 130, signal.SIGHUP: 129, signal.SIGKILL: -9}[number]
    eventually("all its processes have ended", lambda: not left_behind(folder))
    eventually("its folder is gone", lambda: not list(folder.glob("atheria-demo-*")))


def test_envoy_and_the_servers_end_with_the_process_that_runs_them_when_that_is_killed(
    folder: Path,
) -> None:
    demo = start(folder)
    try:
        assert "autoscaler run" in first_line(demo)
        eventually("a server process", lambda: any("atheria_server" in line for line in left_behind(folder)))
        (parent,) = [
            process.name
            for process in Path("/proc").glob("[0-9]*")
            if command_of(process).endswith("-m atheria_local.standalone ") and parent_of(process) == demo.pid
        ]
        os.kill(int(parent), signal.SIGKILL)
        _, errors = demo.communicate(timeout=WAIT_SECONDS)
    finally:
        end(demo)
    assert demo.returncode == 1
    assert "Traceback" not in errors
    eventually("all its processes have ended", lambda: not left_behind(folder))


def command_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def test_a_long_folder_for_temporary_files_does_not_keep_the_sockets_from_being_made(folder: Path) -> None:
    long = folder / ("a" * 100)
    long.mkdir()
    with start(long) as demo:
        try:
            assert "autoscaler run" in first_line(demo)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=WAIT_SECONDS)
    eventually("all its processes have ended", lambda: not left_behind(long))
