"""A model's demand as this gateway sees it, from held calls and Envoy's counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atheria_gateway.core.hold import HoldQueue
from atheria_gateway.core.model import ModelKey


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionCalls:
    """What Envoy counted of one revision since it shares a model's calls."""

    revision: str
    calls: int = 0
    """Answered calls."""
    errors: int = 0
    """Those of them that failed by the server's fault."""
    latency: tuple[tuple[float, int], ...] = ()
    """(upper bound of a bucket in seconds, calls in it), those that are not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyCounters:
    """Envoy's figures of one model's clusters, gRPC and HTTP together."""

    active_requests: int = 0
    """Calls in Envoy now, held ones included."""
    arrivals_total: int = 0
    """Calls that came since Envoy started, retries not counted."""
    revisions: tuple[RevisionCalls, ...] = ()
    """Of those that share the calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One model's line of a demand report."""

    model: ModelKey
    held: int
    in_flight: int
    arrivals_total: int
    oldest_held_s: float
    revisions: tuple[RevisionCalls, ...] = ()
    trace_id: str = ""
    """Of the oldest held call that has one."""


def demand_of(
    models: tuple[ModelKey, ...],
    holds: HoldQueue,
    counters: Mapping[ModelKey, EnvoyCounters],
    now_s: float,
    trace_of: Callable[[ModelKey], str] = lambda _: "",
) -> tuple[Demand, ...]:
    """One line for each model; calls in flight are Envoy's active calls less those held. `trace_of` names a held call's trace."""
    lines: list[Demand] = []
    for model in models:
        seen = counters.get(model, EnvoyCounters())
        held = holds.held(model)
        lines.append(
            Demand(
                model=model,
                held=held,
                in_flight=max(0, seen.active_requests - held),
                arrivals_total=seen.arrivals_total,
                oldest_held_s=holds.oldest_s(model, now_s),
                revisions=seen.revisions,
                trace_id=trace_of(model) if held else "",
            )
        )
    return tuple(lines)
