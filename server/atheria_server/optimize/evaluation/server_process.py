"""A real `atheria-server serve` of its own, for measurements that need several processes. Called by `concurrency`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_SECONDS: Final = 300.0
STOP_SECONDS: Final = 30.0
MODEL: Final = "m"
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ServerProcessError(RuntimeError):
    """The server did not start; the message has its last lines."""


class ServerProcess:
    """`with ServerProcess(...) as server:` waits until it is ready, and ends it with all its workers."""

    def __init__(self, source: str, arguments: Sequence[str]) -> None:
        """`arguments` are options of `serve`."""
        self.target = ""
        self._lines: list[str] = []
        self._settled = threading.Event()
        self._is_ready = False
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "atheria_server", "serve", source, "--name", MODEL),
                *("--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0", "--drain-delay", "0"),
                *arguments,
            ],
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        self._settled.wait(START_SECONDS)
        if not self._is_ready:
            self._end()
            raise ServerProcessError(
                f"the server was not ready within {START_SECONDS:g} s or ended:\n"
                + "\n".join(self._lines[-10:])
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.resume()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._end()

    def pause(self) -> None:
        """Take it and its workers off the processors while another one is measured."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)

    def worker_seconds(self) -> float:
        """Processor time that its workers have used so far."""
        return sum(_processor_seconds(pid) for pid in self.workers())

    def workers(self) -> list[int]:
        """Process ids of the workers: the children of the front."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()]

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        for line in self._process.stderr:
            self._lines.append(line.rstrip("\n"))
            if found := re.search(r"event=listening .*grpc_port=(\d+)", line):
                self.target = f"127.0.0.1:{found[1]}"
            if "event=ready " in line:
                self._is_ready = True
                self._settled.set()
        self._settled.set()


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
