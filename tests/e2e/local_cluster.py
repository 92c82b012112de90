"""The local cluster for the end-to-end tests: one that is up already is used and left up, another is ended whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

ROOT: Final = Path(__file__).parents[2]
STATUS_SECONDS: Final = 60.0
UP_SECONDS: Final = 2400.0
"""The first time it is built."""
DOWN_SECONDS: Final = 300.0


class Local(Protocol):
    """`atheria-local` with these arguments."""

    def __call__(self, *arguments: str, timeout_seconds: float) -> subprocess.CompletedProcess[bytes]:
        """When it has ended. Raises TimeoutExpired."""
        ...


def local(*arguments: str, timeout_seconds: float) -> subprocess.CompletedProcess[bytes]:
    """The real one."""
    return subprocess.run(
        [sys.executable, "-m", "atheria_local", *arguments], cwd=ROOT, timeout=timeout_seconds, check=False
    )


@contextmanager
def bare_cluster(local: Local) -> Iterator[bool]:
    """Up and with our images inside the block; the value says whether it was up before. Raises AssertionError with what failed."""
    was_up = local("status", timeout_seconds=STATUS_SECONDS).returncode == 0
    try:
        # One that came up halfway is there, too.
        for command in ("up", "images"):
            done = local(command, timeout_seconds=UP_SECONDS)
            assert done.returncode == 0, f"atheria-local {command} ended with {done.returncode}"
        yield was_up
    finally:
        if not was_up:
            done = local("down", timeout_seconds=DOWN_SECONDS)
            assert done.returncode == 0, f"atheria-local down ended with {done.returncode}"
