"""When a model is woken."""

from __future__ import annotations

import pytest

from atheria_gateway.core.model import Model, ModelKey
from atheria_gateway.core.wake import Wake, WakeObservation, decide_wake

SLEEPING = Model(key=ModelKey(namespace="demo", name="qca"), active_revision="qca-r1")
RETRY_S = 2.0


def _seen(held: int = 1, ready_pods: int = 0, last_s: float | None = None) -> WakeObservation:
    return WakeObservation(held=held, ready_pods=ready_pods, seconds_since_last_wake=last_s)


def test_the_first_held_call_wakes_the_model_and_its_active_deployment() -> None:
    assert decide_wake(SLEEPING, _seen(), RETRY_S) == Wake(patch_model=True, deployment="qca-r1")


def test_a_model_that_is_requested_already_has_only_its_deployment_woken() -> None:
    model = Model(key=SLEEPING.key, requested_replicas=3, active_revision="qca-r1")
    assert decide_wake(model, _seen(), RETRY_S) == Wake(patch_model=False, deployment="qca-r1")


@pytest.mark.parametrize("seen", [_seen(held=0), _seen(ready_pods=1), _seen(last_s=1.9)])
def test_nothing_is_woken_without_held_calls_with_ready_pods_or_again_too_soon(seen: WakeObservation) -> None:
    assert decide_wake(SLEEPING, seen, RETRY_S) is None


def test_a_wake_that_brought_no_pod_is_tried_again_after_the_interval() -> None:
    assert decide_wake(SLEEPING, _seen(last_s=2.0), RETRY_S) is not None


def test_a_model_that_is_being_deleted_is_not_woken() -> None:
    assert decide_wake(Model(key=SLEEPING.key, is_leaving=True), _seen(), RETRY_S) is None


def test_a_revision_that_makes_room_for_another_one_is_not_woken() -> None:
    model = Model(key=SLEEPING.key, requested_replicas=1, active_revision="qca-r1", may_wake=False)
    assert decide_wake(model, _seen(), RETRY_S) == Wake(patch_model=False, deployment="")
