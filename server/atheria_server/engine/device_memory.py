"""Measures the memory that a computation takes: of the GPU through torch, otherwise of this process through Linux.

Used by `engine.worker` at warm-up, when nothing else runs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from atheria_server.core.memory_fit import Footprint

T = TypeVar("T")
_PROC: Final = Path("/proc/self")
_CGROUP: Final = Path("/sys/fs/cgroup")
_RESET_PEAK: Final = "5"
"""To clear_refs: the peak of the resident memory starts anew (proc(5))."""


def measure(device: str, rows: int, compute: Callable[[], T]) -> tuple[T, Footprint]:
    """Compute, and tell what it took. Raises what `compute` raises."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        return _measure_cuda(torch, device, rows, compute)
    return _measure_process(rows, compute)


def _measure_cuda(torch: Any, device: str, rows: int, compute: Callable[[], T]) -> tuple[T, Footprint]:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    unused = torch.cuda.memory_reserved(device) - before
    free = torch.cuda.mem_get_info(device)[0] + unused
    result = compute()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    return result, Footprint(rows=rows, peak_bytes=peak, free_bytes=free)


def _measure_process(rows: int, compute: Callable[[], T]) -> tuple[T, Footprint]:
    (_PROC / "clear_refs").write_text(_RESET_PEAK)
    before = _status("VmRSS")
    free = free_bytes()
    result = compute()
    return result, Footprint(rows=rows, peak_bytes=max(0, _status("VmHWM") - before), free_bytes=free)


def free_bytes(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Memory that this container may still take: of its limit, or of the machine if that is less.

    What files that were read have left behind counts as free where the kernel lets go of it first, as for the kubelet's working set.
    """
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    available = int(found[1]) * 1024 if found else 0
    for limit, used in (
        (cgroup / "memory.max", cgroup / "memory.current"),
        (cgroup / "memory/memory.limit_in_bytes", cgroup / "memory/memory.usage_in_bytes"),
    ):
        try:
            used_bytes = int(used.read_text()) - _file_cache_bytes(limit.with_name("memory.stat"))
            return max(0, min(available, int(limit.read_text()) - used_bytes))
        except (OSError, ValueError):  # not this version of cgroups, or "max"
            continue
    return available


def _file_cache_bytes(stat: Path) -> int:
    try:
        figures = dict(line.split() for line in stat.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    # The older cgroups tell the container's own and, with its children, the total.
    return int(figures.get("total_inactive_file") or figures.get("inactive_file") or 0)


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", (_PROC / "status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
