"""How far a download is, as a line in the log from time to time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_LOG = logging.getLogger("atheria.sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The state of one download."""

    source: str
    """Without secrets."""
    state: str
    """`downloading`, `waiting` for another process, `resuming` or `done`."""
    done_bytes: int
    total_bytes: int | None
    """None = the other side does not say."""
    seconds: float


Progress = Callable[[Transfer], None]


def log_progress(transfer: Transfer) -> None:
    """One line."""
    _LOG.info(
        "event=source_%s source=%s bytes=%d total_bytes=%s seconds=%.1f",
        transfer.state,
        transfer.source,
        transfer.done_bytes,
        "unknown" if transfer.total_bytes is None else transfer.total_bytes,
        transfer.seconds,
    )
