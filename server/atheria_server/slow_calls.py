"""The log's line about a call that took long: how much of it was the queue, how much the worker. Rate-limited.

Made by `app` from the environment; `engine.service` asks for each call that ended.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Final

from atheria_contract.log_budget import LogBudget
from atheria_server.core.errors import StartError
from atheria_server.engine.calls import Call

_LOG = logging.getLogger("atheria.service")
ENV_SECONDS: Final = "ATHERIA_SLOW_CALL_SECONDS"
DEFAULT_SECONDS: Final = 10.0
LINES_PER_SECOND: Final = 1.0
BURST: Final = 10


class SlowCalls:
    """Writes `event=slow_call` for calls that take `seconds` or more."""

    def __init__(self, seconds: float = DEFAULT_SECONDS) -> None:
        """`seconds`: 0 = no call is slow."""
        self.seconds = seconds or math.inf
        self._budget = LogBudget(per_second=LINES_PER_SECOND, burst=BURST)

    def ended(
        self, call: Call, *, model: str, code: str, seconds: float, request_id: str, now_s: float
    ) -> None:
        """A slow call ended at the monotonic time `now_s`."""
        if not self._budget.take(now_s):
            return
        skipped, self._budget.skipped = self._budget.skipped, 0
        _LOG.warning(
            "event=slow_call model=%s code=%s seconds=%.6f queue_seconds=%.6f inference_seconds=%.6f batch_rows=%d "
            "rows=%d request_id=%r lines_left_out=%d",
            model,
            code,
            seconds,
            call.queue_seconds,
            call.inference_seconds,
            call.batch_rows,
            call.rows,
            request_id,
            skipped,
        )


def read_slow_calls(environment: Mapping[str, str]) -> SlowCalls:
    """From ENV_SECONDS. Raises StartError that names it, its value and what is allowed."""
    text = environment.get(ENV_SECONDS, "")
    if not text:
        return SlowCalls()
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise StartError(
            f"{ENV_SECONDS} is {text!r}; allowed: seconds from 0 (no line about slow calls) to 86400"
        )
    return SlowCalls(seconds)
