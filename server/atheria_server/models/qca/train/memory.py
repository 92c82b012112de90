"""How much memory a training took at its peak, counted by the system or the device: never a formula."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import resource
from pathlib import Path
from typing import Final

import torch

_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_RESET_PEAK: Final = "5"


def import_early() -> None:
    """What torch imports at the first step of an optimiser: seconds and megabytes that are not the training's."""
    importlib.import_module("torch._dynamo")


class PeakMemory:
    """Growth of this process (or, on CUDA, of its device memory) since the object was made."""

    def __init__(self, device: str) -> None:
        """Gives back what was freed before and sets the peak back, where the system lets it."""
        self._on_device = device != "cpu"
        if self._on_device:
            torch.cuda.reset_peak_memory_stats(device)
            self._device, self._before = device, torch.cuda.memory_allocated(device)
            return
        with contextlib.suppress(OSError, AttributeError):
            # Otherwise memory that the allocator kept would serve again, and not be seen as growth.
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        self._before = _read("VmRSS")

    def growth_bytes(self) -> int:
        """Peak less what was there at first, at least 0."""
        if self._on_device:
            return torch.cuda.max_memory_allocated(self._device) - self._before
        return max(0, _read("VmHWM") - self._before)


def _read(field: str) -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        # Not Linux: the peak since the process began is all there is.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    line = next(line for line in lines if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024
