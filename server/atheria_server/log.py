"""The server's log: one line an event on stderr, `key=value` fields, UTC times, or JSON. Set up once in each process.

A line of a call that belongs to a trace has its `trace_id`, in text at its end.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from atheria_contract import names
from atheria_contract.json_log import JSON, JsonFormatter
from atheria_server.current_trace import TRACE


def set_up_logging() -> None:
    """INFO and text by default; the environment's ATHERIA_LOG_LEVEL may say DEBUG, WARNING or ERROR, and ATHERIA_LOG_FORMAT json."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = os.environ.get(names.ENV_LOG_FORMAT) == JSON
    handler.setFormatter(JsonFormatter(_trace_id) if is_json else LineFormatter())
    logger = logging.getLogger("atheria")
    logger.handlers = [handler]
    logger.propagate = False
    level = os.environ.get("ATHERIA_LOG_LEVEL", "INFO").upper()
    logger.setLevel(level if level in ("DEBUG", "INFO", "WARNING", "ERROR") else "INFO")


def _trace_id() -> str:
    trace = TRACE.get()
    return "" if trace is None else trace.trace_id


class LineFormatter(logging.Formatter):
    """Time, level, logger and fields; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        line = super().formatMessage(record)
        trace = TRACE.get()
        return line if trace is None else f"{line} trace_id={trace.trace_id}"
