"""The cluster's own cgroup in every hierarchy, so that its pods can never be mistaken for another kubelet's.

Called by `cluster` before the kubelet starts and by `leftovers` when all is over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from atheria_local.errors import LocalError

NAME: Final = "atheria-local"
ROOT: Final = Path("/sys/fs/cgroup")
_UNIFIED: Final = (ROOT / "cgroup.controllers").exists()


def create() -> None:
    """Make the cgroup that the kubelet puts its pods under (`cgroupRoot`). Raises LocalError where that is not allowed."""
    try:
        for hierarchy in _hierarchies():
            (hierarchy / NAME).mkdir(exist_ok=True)
        if _UNIFIED:
            controllers = (ROOT / "cgroup.controllers").read_text().split()
            for folder in (ROOT, ROOT / NAME):
                (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
    except OSError as error:
        raise LocalError(
            f"cgroups cannot be made under {ROOT} ({error.strerror}): in a container, run it privileged with its own cgroup namespace, "
            "or set KUBECONFIG to use a cluster that you have"
        ) from error


def remove() -> None:
    """Remove the cgroup and all below it; a process must be in none of them."""
    for cgroup in _ours():
        try:
            cgroup.rmdir()
        except OSError:
            # The kernel still lets go of a process that was just killed; the next `up` uses the folder again.
            continue


def processes() -> Iterator[int]:
    """Pids in our cgroups."""
    for cgroup in _ours():
        try:
            yield from map(int, (cgroup / "cgroup.procs").read_text().split())
        except OSError:
            continue


def _hierarchies() -> list[Path]:
    """One in cgroup v2; one for each controller in v1."""
    if _UNIFIED:
        return [ROOT]
    return [entry for entry in ROOT.iterdir() if (entry / "cgroup.procs").exists() and not entry.is_symlink()]


def _ours() -> list[Path]:
    """Our cgroups, the deepest first."""
    roots = [hierarchy / NAME for hierarchy in _hierarchies()]
    return [Path(folder) for root in roots for folder, _, _ in os.walk(root, topdown=False)]
