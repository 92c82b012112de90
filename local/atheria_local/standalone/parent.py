"""A child that ends with this process, however it ends. Used for Envoy and the servers; the file is also what becomes the child.

`preexec_fn` would do the same with a fork, and gRPC's threads do not survive one: with calls under way up to every
second child dies of SIGSEGV before it has begun. So a small Python of its own, which shares nothing, asks the
kernel and then becomes the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def bound_to_this_process(command: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs `command`, whose program is a path, so that the kernel kills it with this process.

    More exactly with the thread that starts it (prctl(2), Linux): start it from one that lasts.
    """
    return (sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), *command)


def become(parent: int, command: Sequence[str]) -> NoReturn:
    """Replace this process by the command, or end where the parent is gone already. OSError where it cannot be run."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], list(command))  # noqa: S606 - there is no shell to want


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
