"""Whether to wake a model now, and what to patch. Any number of gateways may decide the same: a patch is 0 to 1 only."""

from __future__ import annotations

from dataclasses import dataclass

from atheria_gateway.core.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeObservation:
    """What the wake decision sees of one model."""

    held: int
    ready_pods: int
    seconds_since_last_wake: float | None
    """None when this gateway has not woken the model since its calls began to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Scale subresources to patch from 0 to 1."""

    patch_model: bool
    deployment: str
    """Name of the active Deployment; empty when there is none yet, or when it is on its way out."""


def decide_wake(model: Model, seen: WakeObservation, retry_interval_s: float) -> Wake | None:
    """Wake a model that has held calls and no ready pod: at once, then again each `retry_interval_s` seconds."""
    if model.is_leaving or seen.held <= 0 or seen.ready_pods > 0:
        return None
    if seen.seconds_since_last_wake is not None and seen.seconds_since_last_wake < retry_interval_s:
        return None
    return Wake(
        patch_model=model.requested_replicas == 0, deployment=model.active_revision if model.may_wake else ""
    )
