"""The trace of the call that is being answered: set by `transport.trace_headers`, read by `log`, `metrics`, `tracing`.

It is set in the task of the call; tasks made there inherit it. Light: `log` is imported before anything heavy.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from atheria_contract.trace_context import TraceContext

TRACE: Final[ContextVar[TraceContext | None]] = ContextVar("atheria_trace", default=None)
"""None for a caller that sent no valid `traceparent`, while no spans are made here."""
