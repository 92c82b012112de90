"""Keeps the C library from giving the heap's end back to the kernel and taking it again with every message.

A message of some tens of kilobytes lies at the end of the heap; with glibc's defaults each one is paid for with fresh pages.
Called by `__main__` and `engine.worker_main`, first of all. Other C libraries are left alone.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 128 * 1024 * 1024
_STEP_BYTES: Final = 16 * 1024 * 1024
_LARGE_BYTES: Final = 32 * 1024 * 1024
"""The most that glibc takes for this threshold on 64-bit machines."""


def keep_freed_memory() -> bool:
    """Whether the settings were taken; where a person set MALLOC_* variables, they are left alone."""
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_TOP_PAD, _STEP_BYTES),
        (_M_MMAP_THRESHOLD, _LARGE_BYTES),
    )
    taken = [mallopt(option, value) == 1 for option, value in settings]
    return all(taken)
