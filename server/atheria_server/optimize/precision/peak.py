"""Memory that a computation takes at its peak, measured apart from the weights."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from atheria_server.engine.device_memory import measure


def measured_peak(device: str, rows: int, compute: Callable[[], object]) -> int:
    """Bytes beyond what was in use before `compute`: of the GPU through torch, otherwise of this process."""
    _give_back_free_memory()
    _, footprint = measure(device, rows, compute)
    return footprint.peak_bytes


def _give_back_free_memory() -> None:
    """To the kernel: a peak that fits into what malloc has kept would not be seen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
