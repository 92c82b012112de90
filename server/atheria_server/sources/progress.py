"""How far a download is: a line in the log from time to time, and whoever listens in this process.

`engine.worker_main` and `app` listen, so that a starting server can say how many bytes are there; `resolve` tells.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

_LOG = logging.getLogger("atheria.sources")
LOG_SECONDS: Final = 5.0
"""Between two lines about the same state of one download."""


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
    """Since the download, or the wait for another process, began."""


Progress = Callable[[Transfer], None]


def _nobody(_: Transfer) -> None:
    pass


_LISTENER: ContextVar[Progress] = ContextVar("listener", default=_nobody)


@contextmanager
def listening(listener: Progress) -> Iterator[None]:
    """`listener` hears of all downloads of this thread inside, those of a model's own code included."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


class LoggedProgress:
    """The progress of one `resolve`: to the listener as it comes, to the log at each change of state and every 5 s."""

    def __init__(self) -> None:
        self._state = ""
        self._logged_seconds = 0.0

    def __call__(self, transfer: Transfer) -> None:
        """Tell it."""
        _LISTENER.get()(transfer)
        if transfer.state == self._state and transfer.seconds - self._logged_seconds < LOG_SECONDS:
            return
        self._state, self._logged_seconds = transfer.state, transfer.seconds
        _LOG.info(
            "event=source_%s source=%s bytes=%d total_bytes=%s seconds=%.1f",
            transfer.state,
            transfer.source,
            transfer.done_bytes,
            "unknown" if transfer.total_bytes is None else transfer.total_bytes,
            transfer.seconds,
        )
