"""What pods wrote down: which call began and ended where, and when. Read by the verdict, written by `ledger_model`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENV_LEDGER: Final = "ATHERIA_CHAOS_LEDGER"
"""In a pod: file to which it adds its lines."""
BEGUN: Final = "B"
ENDED: Final = "E"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One computation of a call."""

    call: int
    container: str
    """`pod/restart`."""
    begun_seconds: float
    ended_seconds: float | None


def line(what: str, call: int, now_seconds: float) -> str:
    """One entry; `now_seconds` is the machine's monotonic clock."""
    return f"{what} {call} {now_seconds:.4f}\n"


def container_name(pod: str, restart: int) -> str:
    """How a process of a pod is called here."""
    return f"{pod}/{restart}"


def file_of(folder: Path, container: str) -> Path:
    """Where a container writes."""
    return folder / container.replace("/", ".")


def read(folder: Path, containers: Iterable[str]) -> list[Run]:
    """All computations of these containers; a file that is not there was never written to."""
    found: list[Run] = []
    for container in containers:
        file = file_of(folder, container)
        if file.exists():
            found += runs_of(container, file.read_text(encoding="utf-8"))
    return found


def runs_of(container: str, text: str) -> list[Run]:
    """The computations of one container; a call that it began twice is there twice."""
    begun: list[tuple[int, float]] = []
    ended: dict[int, list[float]] = {}
    for what, call, at in (entry.split() for entry in text.splitlines()):
        if what == BEGUN:
            begun.append((int(call), float(at)))
        else:
            ended.setdefault(int(call), []).append(float(at))
    return [
        Run(
            call=call,
            container=container,
            begun_seconds=at,
            ended_seconds=ended[call].pop(0) if ended.get(call) else None,
        )
        for call, at in begun
    ]
