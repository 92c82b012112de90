"""What this container may use: processors (cgroup quota) and the device. Read once, before the workers start."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def processor_count(cgroup: Path = _CGROUP) -> int:
    """Whole processors that the cgroup's quota and the affinity mask allow, at least 1.

    Numerical libraries count the node's processors instead and start far too many threads in a small pod.
    """
    available = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, available if quota is None else min(available, math.ceil(quota)))


def thread_environment() -> dict[str, str]:
    """Variables that bound the worker's numerical threads, unless the environment already says otherwise."""
    count = str(processor_count())
    return {name: os.environ.get(name, count) for name in THREAD_VARIABLES}


def default_device() -> str:
    """`cuda:0` where a GPU is visible to the container, otherwise `cpu`; without importing torch."""
    return "cuda:0" if Path("/dev/nvidiactl").exists() and Path("/dev/nvidia0").exists() else "cpu"


def _quota(cgroup: Path) -> float | None:
    try:
        limit, period = (cgroup / "cpu.max").read_text().split()
        return None if limit == "max" else float(limit) / float(period)
    except (OSError, ValueError):
        pass
    try:
        limit = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
        period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        return None if float(limit) <= 0 else float(limit) / float(period)
    except (OSError, ValueError):
        return None
