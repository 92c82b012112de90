"""Imports of a start without the garbage collector, how long the process has been there, and its name.

Used by `__main__` and `engine.worker_main`: importing makes hundreds of thousands of objects that stay, and nearly no garbage, so
looking for garbage again and again takes a tenth of a start.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_STARTED_FIELD: Final = 19
"""Of /proc/PID/stat behind the program's name: when the process was started, in ticks since the boot."""

WORKER_NAME: Final = "atheria-worker"
"""What a worker is called in /proc/PID/comm, for `ps` and `top`: a fork has the front's command line."""
_SET_NAME: Final = 15
"""PR_SET_NAME of prctl(2)."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Within it no garbage is looked for; what it leaves is kept away from later collections, as it stays for ever.

    For the server's own libraries only: code of a user may leave large things for the collector.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def process_age_seconds(stat: Path = Path("/proc/self/stat")) -> float:
    """Since the kernel started this process, the interpreter's own start included, within 10 ms; 0 where that is not told."""
    try:
        ticks = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[_STARTED_FIELD])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def name_process(name: str) -> None:
    """What `ps` and `top` call this process, at most 15 letters; where the C library has no such call, nothing changes."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)
