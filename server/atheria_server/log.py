"""The server's log: one line an event on stderr, `key=value` fields, UTC times. Set up once in each process."""

from __future__ import annotations

import logging
import os
import sys
import time


def set_up_logging() -> None:
    """INFO by default; the environment's ATHERIA_LOG_LEVEL may say DEBUG, WARNING or ERROR."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("atheria")
    logger.handlers = [handler]
    logger.propagate = False
    level = os.environ.get("ATHERIA_LOG_LEVEL", "INFO").upper()
    logger.setLevel(level if level in ("DEBUG", "INFO", "WARNING", "ERROR") else "INFO")
