"""When a held call goes on, and when a model is woken."""

from __future__ import annotations

import pytest

from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import Model, ModelKey
from atheria_gateway.core.release import ReleaseAction, ReleaseObservation, release_action
from atheria_gateway.core.wake import Wake, WakeObservation, decide_wake

A, B = Endpoint(address="10.0.0.1"), Endpoint(address="10.0.0.2")
SLEEPING = Model(key=ModelKey(namespace="demo", name="qca"), active_revision="qca-r1")
RETRY_S = 2.0


@pytest.mark.parametrize(
    ("ready", "acknowledged", "attempt", "action"),
    [
        ((), frozenset(), 1, ReleaseAction.WAIT),
        ((A,), frozenset(), 1, ReleaseAction.WAIT),
        ((), frozenset({A}), 1, ReleaseAction.WAIT),
        ((A,), frozenset({B}), 1, ReleaseAction.WAIT),
        ((A, B), frozenset({B}), 1, ReleaseAction.RELEASE),
        ((A,), frozenset({A}), 2, ReleaseAction.PROBE_THEN_RELEASE),
        ((A,), frozenset({B}), 2, ReleaseAction.WAIT),
    ],
)
def test_a_call_goes_on_only_to_a_pod_that_is_ready_and_that_envoy_knows(
    ready: tuple[Endpoint, ...], acknowledged: frozenset[Endpoint], attempt: int, action: ReleaseAction
) -> None:
    seen = ReleaseObservation(ready=ready, acknowledged=acknowledged, attempt=attempt)
    assert release_action(seen) is action


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
