"""The first workers as forks of the front: what both need is imported once, which is a fifth of a start's work.

Called by `__main__` before the front has threads, an event loop or gRPC, none of which survive a fork, and before anything touches a
device. Workers that take the place of one that died are launched with an interpreter of their own (`engine.launch`).
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn

import atheria_server.engine.setup  # noqa: F401 - so that its libraries are there before the fork
from atheria_server.engine import worker_main
from atheria_server.engine.imports import process_age_seconds
from atheria_server.engine.launch import Launched, WorkerSpec

_LOG = logging.getLogger("atheria.worker")
_STOPPING: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class ForkedProcess:
    """A child, as `subprocess.Popen` has it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._pid

    def poll(self) -> int | None:
        """Its exit code, or minus the signal; None while it runs."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else has waited for it; Popen says 0 then, too.
                self._status = 0
            else:
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """The same when it has ended. Raises subprocess.TimeoutExpired."""
        if (status := self.poll()) is not None:
            return status
        descriptor = os.pidfd_open(self.pid)
        try:
            select.select([descriptor], [], [], timeout)
        finally:
            os.close(descriptor)
        if (status := self.poll()) is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return status

    def kill(self) -> None:
        """End it now."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def fork_workers(specs: Sequence[WorkerSpec]) -> list[Launched]:
    """One child for each. The numerical threads must be bounded in this process before it has imported anything numerical."""
    began = time.monotonic() - process_age_seconds()
    forked: list[Launched] = []
    for _ in specs:
        forked.append(_fork([one.sock for one in forked], began))
    return forked


def _fork(others: Sequence[socket.socket], began: float) -> Launched:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the child has its own, a signal would run the front's handlers in it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        pid = os.fork()
        if pid == 0:
            for sock in (ours, *others):
                sock.close()
            _work(theirs, began)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    ours.setblocking(False)
    return Launched(process=ForkedProcess(pid), sock=ours)


def _work(sock: socket.socket, began: float) -> NoReturn:
    """The child's whole life: it never returns into the front's code."""
    code = 1
    try:
        # Signals to the whole group (Ctrl-C, a supervisor's stop) are the front's: it drains first.
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        code = worker_main.main(sock.detach(), began)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on into the front's code
        _LOG.exception("event=worker_failed")
    finally:
        worker_main.exit_at_once(code)
