"""`LitAPI.log(key, value)` in the worker: a thread of its own hands the entries to the user's LitServe loggers.

LitServe runs loggers in a process beside the workers; a thread has the same order and the same isolation from slow
loggers, and needs no pickles. Made by `engine.worker_main`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from typing import Any, Final

_LOG = logging.getLogger("atheria.worker")
MAX_ENTRIES: Final = 10_000
"""Entries that may wait for a slow logger; then the newest are dropped, and the log says how many."""
STOP_SECONDS: Final = 2.0
_END: Final = object()


class LoggerQueue:
    """What `LitAPI.set_logger_queue` gets."""

    def __init__(self, loggers: Sequence[Any]) -> None:
        self._loggers = loggers
        self._entries: queue.Queue[Any] = queue.Queue(MAX_ENTRIES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="litserve-loggers", daemon=True)
        self._thread.start()

    def put(self, entry: tuple[str, Any]) -> None:
        """One key and value; never blocks the model."""
        try:
            self._entries.put_nowait(entry)
        except queue.Full:
            self._dropped += 1
            if self._dropped.bit_count() == 1:  # the first, and then each time their number doubles
                _LOG.warning("event=log_entries_dropped total=%d waiting=%d", self._dropped, MAX_ENTRIES)

    def stop(self) -> None:
        """Process what waits, for a bounded time."""
        try:
            self._entries.put(_END, timeout=STOP_SECONDS)
        except queue.Full:
            return
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while (entry := self._entries.get()) is not _END:
            for logger in self._loggers:
                try:
                    logger.process(*entry)
                except Exception:  # noqa: BLE001 - the user's logger may raise anything; the others go on
                    _LOG.exception("event=litserve_logger_failed logger=%s", type(logger).__name__)
