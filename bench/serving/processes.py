"""Starts and ends a measured server with all its processes, and reads their processor time and memory from /proc.

A process belongs to a server if its environment holds the server's token: children inherit it, whatever session or parent they
move to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
_MARK: Final = "ATHERIA_BENCH_SERVER"
STOP_SECONDS: Final = 15.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class ServerProcess:
    """A running server. `with ServerProcess(...) as server:` ends all of it; `token` marks its processes."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Path
    ) -> None:
        self.log = log
        self.token = uuid.uuid4().hex
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ONE_THREAD, **environment, _MARK: self.token},
                cwd=folder,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while (left := list(members(self.token))) or self._process.poll() is None:
            self._signal(signal.SIGKILL)
            if time.monotonic() > deadline:
                raise SystemExit(f"processes {left} of {self.log.stem} did not end within {STOP_SECONDS:g} s")
            time.sleep(0.02)

    def pause(self) -> None:
        """Take all its processes off the processor, so that it does not disturb while another server is measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def last_lines(self, count: int = 15) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def _signal(self, number: signal.Signals) -> None:
        for pid in members(self.token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def members(token: str) -> Iterator[int]:
    """The ids of the server's living processes."""
    wanted = f"{_MARK}={token}".encode()
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if not entry.isdigit():
            continue
        try:
            # Processes that have ended, and those of other users, have none to read.
            found = wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if found:
            yield int(entry)


def is_running(pid: int) -> bool:
    """Whether the process is there and has not ended."""
    try:
        text = Path("/proc", str(pid), "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text[text.rindex(")") + 2] != "Z"


def cpu_seconds(token: str) -> float:
    """Processor time that the server's living processes, and children that they waited for, have used."""
    return sum(sum(map(int, fields[11:15])) for fields in _stats(token)) / _TICKS


def resident_bytes(token: str) -> int:
    """Memory in use, summed over the processes: shared pages count once for each."""
    return sum(int(fields[21]) for fields in _stats(token)) * _PAGE_BYTES


def _stats(token: str) -> Iterator[list[str]]:
    """/proc/PID/stat from the field `state` on."""
    for pid in members(token):
        try:
            text = Path("/proc", str(pid), "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield text[text.rindex(")") + 2 :].split()
