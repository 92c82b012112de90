"""Why a call comes to the hold, as its span and its line in the log say it."""

from __future__ import annotations

from enum import StrEnum

from atheria_gateway.core.model import Model


class HoldReason(StrEnum):
    """What keeps a call from going to a pod at once."""

    UNKNOWN_MODEL = "unknown_model"
    TRIED_AGAIN = "tried_again"
    """A pod was there and did not begin the call."""
    SCALED_TO_ZERO = "scaled_to_zero"
    ASLEEP = "asleep"
    """Its pods are there and sleep."""
    NO_READY_POD = "no_ready_pod"
    """Pods were asked for, and none is ready (any more)."""
    PODS_FULL = "pods_full"
    """Pods are ready and have no room, or others wait in front."""


def hold_reason(model: Model | None, *, ready_pods: int, attempt: int) -> HoldReason:
    """`attempt` is 1 for the first try of a call at a pod."""
    if model is None:
        return HoldReason.UNKNOWN_MODEL
    if ready_pods:
        return HoldReason.TRIED_AGAIN if attempt > 1 else HoldReason.PODS_FULL
    if model.is_asleep:
        return HoldReason.ASLEEP
    return HoldReason.NO_READY_POD if model.requested_replicas else HoldReason.SCALED_TO_ZERO
