"""Starts the process of a worker with an interpreter of its own.

Called by `engine.process` for workers that take the place of one that died; the first ones are forks (`engine.fork`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Protocol

from atheria_contract.serving import ServingConfig
from atheria_server.engine.resources import thread_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker is told to load."""

    config: ServingConfig
    device: str
    threads: int = 1
    """For numerical libraries."""

    def body(self) -> dict[str, Any]:
        """As the worker reads it."""
        return {"config": self.config.to_json(), "device": self.device}


class Child(Protocol):
    """The part of `subprocess.Popen` that is used."""

    @property
    def pid(self) -> int:
        """Process id."""

    def poll(self) -> int | None:
        """Its exit code, or minus the signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The same when it has ended. Raises subprocess.TimeoutExpired."""

    def kill(self) -> None:
        """End it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A worker's process, which waits for its first message; it ends by itself when `sock` is closed."""

    process: Child
    sock: socket.socket
    """The front's end."""


def launch(spec: WorkerSpec) -> Launched:
    """Start the interpreter of `engine.worker_main`. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "atheria_server.engine.worker_main", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # Signals to the whole group (Ctrl-C, a supervisor's stop) are the front's: it drains first.
            process_group=0,
            env=os.environ | thread_environment(spec.threads),
        )
    ours.setblocking(False)
    return Launched(process=process, sock=ours)
