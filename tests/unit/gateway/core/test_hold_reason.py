"""Why a call is held."""

from __future__ import annotations

import pytest

from atheria_gateway.core.hold_reason import HoldReason, hold_reason
from atheria_gateway.core.model import Model, ModelKey

KEY = ModelKey(namespace="demo", name="qca")


@pytest.mark.parametrize(
    ("model", "ready_pods", "attempt", "reason"),
    [
        (None, 0, 1, HoldReason.UNKNOWN_MODEL),
        (Model(key=KEY), 0, 1, HoldReason.SCALED_TO_ZERO),
        (Model(key=KEY, is_asleep=True), 0, 1, HoldReason.ASLEEP),
        (Model(key=KEY, requested_replicas=2), 0, 1, HoldReason.NO_READY_POD),
        (Model(key=KEY, requested_replicas=2), 0, 2, HoldReason.NO_READY_POD),
        (Model(key=KEY, requested_replicas=2), 1, 2, HoldReason.TRIED_AGAIN),
        (Model(key=KEY, requested_replicas=2), 2, 1, HoldReason.PODS_FULL),
    ],
)
def test_the_reason_is_what_keeps_the_call_from_a_pod(
    model: Model | None, ready_pods: int, attempt: int, reason: HoldReason
) -> None:
    assert hold_reason(model, ready_pods=ready_pods, attempt=attempt) is reason
