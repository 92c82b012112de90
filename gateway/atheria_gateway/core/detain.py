"""When calls of a model with ready pods still pass the hold: while a backlog is let go, and when its pods are full.

Pods stay known to Envoy all the while; they are only marked so that the data listener prefers the hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atheria_gateway.core.model import Model
from atheria_gateway.core.pace import capacity

FULL: Final = 0.8
"""Of the pods' queues: above it their next calls would be refused, so they wait here instead."""
RELAXED: Final = 0.5
"""Of the pods' queues: below it, and with nobody waiting, calls go straight to the pods again."""
CHECKS_PER_SECOND: Final = 500.0
"""Above this rate of calls the activator would be narrower than the pods: they go straight there, and full pods refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A model's calls as this gateway sees them."""

    held: int
    in_flight: int
    ready_pods: int
    arrivals_per_second: float


def is_detained(model: Model, load: Load, *, was: bool, gateways: int = 1) -> bool:
    """Whether the model's calls are to pass the hold although it has pods; `was` is the answer before.

    Each of `gateways` counts on its part of the pods' queues.
    """
    if load.ready_pods <= 0:
        # The hold is all that is left then.
        return False
    room = load.ready_pods * model.queue_limit / max(1, gateways)
    if was:
        return load.held > 0 or load.in_flight > RELAXED * room
    return load.held > capacity(model, load.ready_pods, gateways) or (
        load.in_flight >= FULL * room and load.arrivals_per_second <= CHECKS_PER_SECOND
    )
