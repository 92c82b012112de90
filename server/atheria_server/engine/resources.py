"""What this container may use: processors (cgroup quota), devices and file handles. Asked once, before the workers start."""

from __future__ import annotations

import math
import os
import re
import resource
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_DEVICES: Final = Path("/dev")
OPEN_FILES: Final = 65_536
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def processor_count(cgroup: Path = _CGROUP) -> int:
    """Whole processors that the cgroup's quota and the affinity mask allow, at least 1.

    Numerical libraries count the node's processors instead and start far too many threads in a small pod.
    """
    available = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, available if quota is None else min(available, math.ceil(quota)))


def thread_environment(threads: int) -> dict[str, str]:
    """Variables that bound a worker's numerical threads, unless the environment already says otherwise."""
    return {name: os.environ.get(name, str(threads)) for name in THREAD_VARIABLES}


def allow_open_files() -> int:
    """Raise this process's bound of open files to what it may have, at most OPEN_FILES; gives the bound.

    Containers often begin with 1024, which a server with many callers and streams reaches.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def visible_devices(directory: Path = _DEVICES) -> list[str]:
    """`cuda:0`, `cuda:1` ... for the GPUs that the container sees, otherwise `cpu`; without importing torch."""
    gpus = [path for path in directory.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
    if not gpus or not (directory / "nvidiactl").exists():
        return ["cpu"]
    return [f"cuda:{index}" for index in range(len(gpus))]


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
