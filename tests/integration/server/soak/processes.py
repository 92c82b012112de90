"""What the kernel knows of a server's processes: memory, descriptors, shared memory. Linux only, as the server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from atheria_server.engine.imports import WORKER_NAME

MEMFD = "memfd:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Of one process at one moment."""

    rss_bytes: int
    descriptors: int
    memfds: int
    """Descriptors of memory files."""
    mapped_memfd_bytes: int
    threads: int


def children(pid: int) -> list[int]:
    """All processes below `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *children(child)]
    return found


def workers(server_pid: int) -> list[int]:
    """The processes that hold the model."""
    return [pid for pid in children(server_pid) if _is_worker(pid)]


def use(pid: int) -> Use:
    """Raises OSError for a process that is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    return Use(
        rss_bytes=1024 * int(re.findall(r"^VmRSS:\s+(\d+)", status, re.MULTILINE)[0]),
        descriptors=len(links),
        memfds=sum(MEMFD in link for link in links),
        mapped_memfd_bytes=_mapped(Path(f"/proc/{pid}/maps").read_text()),
        threads=int(re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)[0]),
    )


def _mapped(maps: str) -> int:
    ranges = [line.split()[0].split("-") for line in maps.splitlines() if MEMFD in line]
    return sum(int(end, 16) - int(start, 16) for start, end in ranges)


def _is_worker(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == WORKER_NAME
    except OSError:
        return False
