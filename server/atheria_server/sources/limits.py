"""Bounds of a download: every wait ends, and no source fills a disk. Made from the environment by `resolve`'s callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_server.sources.errors import UnusableSourceError

_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """All times are seconds."""

    max_bytes: int = 200 * _GIB
    """Of all files of a source."""
    stall_seconds: float = 30.0
    """Without a byte, a connection is given up."""
    attempts: int = 5
    """Tries without a new byte."""
    pause_seconds: float = 0.5
    """Before the second try; twice as long before each further one."""
    total_seconds: float = 6 * 3600.0
    """Of one download."""
    wait_seconds: float = 6 * 3600.0
    """For another process that downloads the same."""
    report_seconds: float = 1.0
    """Between two reports of progress."""


def limits_from(environment: Mapping[str, str]) -> DownloadLimits:
    """ATHERIA_SOURCE_MAX_BYTES, ATHERIA_SOURCE_STALL_SECONDS and ATHERIA_SOURCE_SECONDS. Raises UnusableSourceError."""
    defaults = DownloadLimits()
    total = _positive(environment, "ATHERIA_SOURCE_SECONDS", defaults.total_seconds)
    return DownloadLimits(
        max_bytes=int(_positive(environment, "ATHERIA_SOURCE_MAX_BYTES", defaults.max_bytes)),
        stall_seconds=_positive(environment, "ATHERIA_SOURCE_STALL_SECONDS", defaults.stall_seconds),
        total_seconds=total,
        wait_seconds=total,
    )


def _positive(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UnusableSourceError(f"{name} is {text!r}; expected a number above 0")
    return value
