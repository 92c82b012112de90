"""Demand of a model from the reports of all gateways. Silence is unknown, never "no demand"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures

VALID_SECONDS: Final = 3.0
"""A report says nothing about the time after this."""
FORGET_SECONDS: Final = 30.0
"""A gateway that is silent for so long is gone; until then its calls are unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One model's line of one gateway's report."""

    held: int = 0
    in_flight: int = 0
    arrivals_total: int = 0
    revisions: Mapping[str, CallFigures] = field(default_factory=dict)
    """While revisions share the calls: each one's totals since they do, by name."""
    trace_id: str = ""
    """Trace of the oldest held call; empty = it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The last report of one gateway."""

    gateway: str
    received_seconds: float
    """On the operator's monotonic clock."""
    calls: Mapping[ModelKey, Calls]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What all gateways together say about one model now."""

    held: int
    in_flight: int
    arrivals_total: int
    is_complete: bool
    """No gateway is silent. An incomplete demand may add pods, but takes none away."""
    trace_id: str = ""
    """Of a call that waits, for the log; empty for none."""

    @property
    def calls(self) -> int:
        """Calls that wait or are computed."""
        return self.held + self.in_flight


def demand_of(key: ModelKey, reports: Iterable[Report], now_seconds: float) -> Demand | None:
    """The sum over the fresh reports that know the model; None when there is none."""
    fresh: list[Calls] = []
    is_complete = True
    for report in reports:
        age = now_seconds - report.received_seconds
        if age > FORGET_SECONDS:
            continue
        if age > VALID_SECONDS:
            is_complete = False
        elif key in report.calls:
            fresh.append(report.calls[key])
        else:
            # A gateway that does not speak of a model does not know: not yet listed, or without Envoy's figures.
            is_complete = False
    if not fresh:
        return None
    return Demand(
        held=sum(calls.held for calls in fresh),
        in_flight=sum(calls.in_flight for calls in fresh),
        arrivals_total=sum(calls.arrivals_total for calls in fresh),
        is_complete=is_complete,
        trace_id=next((calls.trace_id for calls in fresh if calls.trace_id), ""),
    )
