"""Removes what a stopped or killed cluster leaves on the machine: shims, mounts, cgroups, network, sockets, state.

Called by `down`, and by `up` before it starts. Everything is found by our own names and folders, so nothing of another
container runtime on the same machine is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from atheria_local import cgroups, network, paths
from atheria_local.errors import LocalError
from atheria_local.shell import run


def remove(cluster: Path) -> None:
    """Remove the remains of the cluster whose state folder is `cluster`. No recorded program may be alive any more."""
    _end_containers()
    _unmount((paths.RUN, cluster))
    network.delete()
    cgroups.remove()
    shutil.rmtree(paths.RUN, ignore_errors=True)
    shutil.rmtree(cluster, ignore_errors=True)
    if cluster.exists():
        raise LocalError(
            f"{cluster} could not be removed: see `findmnt -R {cluster}` for what is mounted there"
        )


def _end_containers() -> None:
    """Kill our containerd's shims and everything in their pods: they outlive containerd by design."""
    deadline = time.monotonic() + 15
    while pids := [*_shims(), *_processes_in_our_namespaces(), *cgroups.processes()]:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise LocalError(
                f"containers survive SIGKILL (pids {', '.join(map(str, pids[:5]))}): see `ps -fp {pids[0]}`"
            )
        time.sleep(0.1)


def _shims() -> Iterator[int]:
    marker = str(paths.CONTAINERD_SOCKET).encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if arguments[0].rpartition(b"/")[2].startswith(b"containerd-shim") and marker in arguments:
            yield int(folder.name)


def _processes_in_our_namespaces() -> Iterator[int]:
    """Processes left in the cluster's network namespace, such as one whose record was never written."""
    if network.exists():
        yield from map(int, run(["ip", "netns", "pids", network.NAMESPACE], check=False).split())


def _unmount(folders: tuple[Path, ...]) -> None:
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        target = Path(line.split()[1].replace("\\040", " "))
        if any(folder in target.parents or folder == target for folder in folders):
            run(["umount", "--lazy", str(target)], check=False)
