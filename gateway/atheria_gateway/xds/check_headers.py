"""What a question of the hold listener says about its call: read from the headers that both listeners set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_contract.trace_context import TRACEPARENT, parse_trace_context
from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.cluster_names import (
    HEADER_ARRIVED,
    HEADER_ATTEMPT,
    HEADER_CALLER,
    HEADER_TARGET,
    read_cluster_name,
)

_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_LONGEST_DIGITS: Final = 8
"""Of grpc-timeout, by gRPC's own definition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldCall:
    """One call that waits at the hold listener."""

    model: ModelKey
    http: bool
    """It goes to the REST port."""
    attempt: int = 1
    """1 for the first try of a call at a pod, more for a retry by Envoy."""
    caller: str = ""
    """Name of the key, fingerprint of the certificate, or address; empty when unknown."""
    body_bytes: int | None = None
    """Declared length of the body."""
    age_s: float = 0.0
    """Seconds since Envoy took the call; more than 0 when another activator was asked before."""
    time_left_s: float | None = None
    """Seconds until the caller's deadline; None without one."""
    trace_id: str = ""
    """32 hexadecimal digits; empty for a call without a trace."""
    is_sampled: bool = False
    """The trace is kept."""


def read_call(headers: Mapping[str, str], now_unix_s: float) -> HeldCall | None:
    """The call of a question with these headers; None when it names no model's pods."""
    target = read_cluster_name(headers.get(HEADER_TARGET, ""))
    if target is None:
        return None
    age_s = max(0.0, now_unix_s - _number(headers.get(HEADER_ARRIVED, ""), now_unix_s))
    timeout_s = read_timeout(headers.get("grpc-timeout", ""))
    length = headers.get("content-length", "")
    trace = parse_trace_context(headers.get(TRACEPARENT, ""))
    return HeldCall(
        model=target.model,
        http=target.http,
        attempt=int(_number(headers.get(HEADER_ATTEMPT, ""), 1)),
        caller=headers.get(HEADER_CALLER, "") or _address(headers.get("x-forwarded-for", "")),
        body_bytes=int(length) if length.isdecimal() else None,
        age_s=age_s,
        time_left_s=None if timeout_s is None else timeout_s - age_s,
        trace_id="" if trace is None else trace.trace_id,
        is_sampled=trace is not None and trace.sampled,
    )


def read_timeout(text: str) -> float | None:
    """gRPC's `grpc-timeout` (up to 8 digits and one of H M S m u n) in seconds; None when it is not one."""
    digits, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not digits.isdecimal() or len(digits) > _LONGEST_DIGITS:
        return None
    return int(digits) * _UNITS_S[unit]


def _address(forwarded_for: str) -> str:
    """The last address, which this gateway's own Envoy added: those before it are what callers say."""
    address = forwarded_for.rpartition(",")[2].strip()
    return f"address:{address}" if address else ""


def _number(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default
