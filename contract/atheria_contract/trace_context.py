"""A caller's place in a distributed trace, as W3C Trace Context writes it in two headers; pure.

Read by the model server from its calls and by the gateway's activator from Envoy's questions, for their spans and log lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MAX_STATE_CHARACTERS: Final = 512
"""A longer `tracestate` is left out; the standard asks for no more."""
_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1
_VERSION: Final = "00"
_NO_VERSION: Final = "ff"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """One span of somebody's trace."""

    trace_id: str
    """32 hexadecimal digits, not all 0."""
    span_id: str
    """16 hexadecimal digits, not all 0."""
    sampled: bool
    """Whether the caller keeps the trace, so that looking it up may find it."""
    state: str = ""
    """`tracestate` as it came."""


def parse_trace_context(parent: str, state: str = "") -> TraceContext | None:
    """From the values of the two headers; None for a `traceparent` that is not valid, as the standard wants it."""
    found = _PARENT.fullmatch(parent.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _VERSION and more is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(
        trace_id=trace_id,
        span_id=span_id,
        sampled=bool(int(flags, 16) & _SAMPLED),
        state=state if len(state) <= MAX_STATE_CHARACTERS else "",
    )
