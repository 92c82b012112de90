"""Long-running programs: started in the background, recorded by pid and start time, stopped without leaving any.

A pid alone may by now belong to somebody else's process; a pid with its start time (jiffies since boot) cannot.
Called by `control_plane` and `cluster`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from atheria_local.errors import LocalError

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A started program."""

    name: str
    pid: int
    started_jiffies: int
    log: str

    def is_alive(self) -> bool:
        """True while this very process (not a successor with its pid) runs."""
        return _start_time(self.pid) == self.started_jiffies


def start(
    name: str,
    command: Sequence[str],
    *,
    logs: Path,
    records: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start `command` in a session of its own, its output in `logs/<name>.log`; recorded in `records` if given."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    # Popen would otherwise warn that nobody waits; `_start_time` sees a dead child as ended, and init reaps the rest.
    child.returncode = 0
    process = Process(name=name, pid=child.pid, started_jiffies=_start_time(child.pid) or 0, log=str(log))
    if records is not None:
        records.mkdir(parents=True, exist_ok=True)
        (records / f"{name}.json").write_text(json.dumps(asdict(process)))
    return process


def recorded(records: Path) -> dict[str, Process]:
    """The programs recorded in a folder, by name; a half-written record of a killed run is skipped."""
    found = {}
    for file in sorted(records.glob("*.json")):
        try:
            found[file.stem] = Process(**json.loads(file.read_text()))
        except (json.JSONDecodeError, TypeError):
            continue
    return found


def stop(processes: Iterable[Process], *, grace_seconds: float) -> None:
    """SIGTERM to all, then SIGKILL to those that outlive `grace_seconds`. Raises LocalError if one survives that."""
    listed = list(processes)
    for process in listed:
        _signal(process, signal.SIGTERM)
    if _ended(listed, grace_seconds):
        return
    for process in listed:
        _signal(process, signal.SIGKILL)
    if not _ended(listed, 10):
        alive = next(process for process in listed if process.is_alive())
        raise LocalError(
            f"{alive.name} (pid {alive.pid}) survives SIGKILL: see `cat /proc/{alive.pid}/stack`"
        )


def wait_until(
    what: str, look: Callable[[], bool], *, timeout_seconds: float, needs: Sequence[Process] = ()
) -> None:
    """Wait for `look`. Raises LocalError when the time is over, or at once when one of `needs` has ended."""
    deadline = time.monotonic() + timeout_seconds
    while not look():
        for process in needs:
            if not process.is_alive():
                raise LocalError(
                    f"{process.name} ended: {last_line(Path(process.log))} (all of it: {process.log})"
                )
        if time.monotonic() > deadline:
            where = ", ".join(process.log for process in needs) or "the logs"
            raise LocalError(f"{what} did not happen within {timeout_seconds:.0f} s: see {where}")
        time.sleep(_POLL_SECONDS)


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, or a word on why there is none."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError as error:
        return f"no log ({error.strerror})"
    return lines[-1][:300] if lines else "it said nothing"


def _start_time(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat, in jiffies since boot; None for a process that is gone or a zombie."""
    try:
        # The name in brackets may hold spaces and brackets: what follows the last one is plain.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _signal(process: Process, number: signal.Signals) -> None:
    if process.is_alive():
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def _ended(processes: Sequence[Process], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while any(process.is_alive() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    for process in processes:
        _reap(process.pid)
    return True


def _reap(pid: int) -> None:
    """Collect a child of ours that ended; a process of an earlier run is init's to collect."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
