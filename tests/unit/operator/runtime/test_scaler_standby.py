"""Models whose pods sleep at zero: the scaling loop with pods in memory that obey orders as the real server does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atheria_contract import names
from tests.unit.operator.runtime.standby_world import DEPLOYMENT, IDLE_SECONDS, MODEL, Bodies, World


async def test_an_idle_models_pod_stays_and_is_put_to_sleep(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    assert (world.scales[MODEL].replicas, world.scales[DEPLOYMENT].replicas) == (0, 1)
    assert world.orders == [("qca-a-1", names.PATH_SLEEP)]
    assert world.events[-1].startswith("ScaledDown: from 1 to 0 pods: no call for 10 s")
    assert await world.tick() is None, "nothing is left to look at"
    await world.seconds(100)
    assert len(world.orders) == 1


async def test_silence_and_calls_in_flight_put_no_pod_to_sleep(body: Bodies) -> None:
    world = World(body)
    world.pods[0].is_loaded = True
    await world.seconds(60)
    assert world.orders == []
    world.pods[0].calls = 1
    world.say()
    await world.seconds(30)
    assert world.pods[0].is_awake
    world.pods[0].calls = 0
    await world.seconds(20)
    assert not world.pods[0].is_awake


async def test_a_wake_by_a_gateway_is_not_undone_before_a_whole_idle_time(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.orders.clear()
    world.wake_by_gateway()
    world.say(arrivals=1)
    await world.seconds(int(IDLE_SECONDS))
    assert world.pods[0].is_awake
    assert all(path == names.PATH_WAKE for _, path in world.orders)
    await world.seconds(5)
    assert not world.pods[0].is_awake


async def test_a_wake_that_never_reached_the_pod_is_given_again_by_the_operator(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.set(MODEL, 1)
    await world.seconds(2)
    assert world.pods[0].is_awake


async def test_a_pod_that_a_call_woke_counts_again_once_it_has_looked_awake_for_longer_than_an_order_takes(
    body: Bodies,
) -> None:
    world = World(body)
    await world.until_asleep()
    world.pods[0].call()
    await world.seconds(20)
    assert world.scales[MODEL].replicas == 1
    await world.seconds(20)
    assert (world.scales[MODEL].replicas, world.pods[0].is_awake) == (0, False)


async def test_a_start_of_the_operator_wakes_nobody(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.orders.clear()
    world.start_operator()
    await world.tick()
    await world.seconds(20)
    assert world.orders == []
    assert world.scales[MODEL].replicas == 0


async def test_a_start_of_the_operator_wakes_none_of_those_that_sleep_beside_one_that_is_awake(
    body: Bodies,
) -> None:
    world = World(body, standby=3, most=3)
    await world.seconds()
    await world.until_asleep()
    world.wake_by_gateway()
    world.say(calls=1, arrivals=1)
    await world.seconds(3)
    assert sum(pod.is_awake for pod in world.pods) == 1
    world.orders.clear()
    world.start_operator()
    # Gateways have not reported to it yet.
    world.said = None
    await world.tick()
    await world.seconds(2)
    world.say(calls=1, arrivals=1)
    await world.seconds(5)
    assert world.orders == []
    assert world.scales[MODEL].replicas == 1


async def test_a_pod_that_sleeps_is_woken_or_goes_when_its_model_does_not_sleep_any_more(
    body: Bodies,
) -> None:
    world = World(body)
    await world.until_asleep()
    world.body["spec"]["scaling"] = {"idleTimeout": "10s", "maxReplicas": 3}
    world.set(MODEL, 1)
    world.say(calls=1, arrivals=1)
    await world.seconds(3)
    assert [pod.is_awake for pod in world.pods] == [True]
    world = World(body)
    await world.until_asleep()
    world.body["spec"]["scaling"] = {"idleTimeout": "10s", "maxReplicas": 3}
    world.set(MODEL, 0)
    await world.seconds(3)
    assert (world.scales[DEPLOYMENT].replicas, world.pods) == (0, [])


async def test_a_pod_that_died_asleep_loads_serves_and_sleeps_again(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    pod = world.pods[0]
    pod.is_loaded, pod.is_awake, pod.starts = False, True, 1
    await world.seconds(5)
    assert world.scales[MODEL].replicas == 1, "it starts, as any first pod"
    pod.is_loaded = True
    await world.seconds(30)
    assert not pod.is_awake


async def test_of_several_pods_in_standby_as_many_are_woken_as_the_calls_need(body: Bodies) -> None:
    world = World(body, standby=2)
    await world.seconds()
    assert len(world.pods) == 2, "the second one is made for standby"
    await world.until_asleep()
    world.wake_by_gateway()
    world.say(calls=2, arrivals=2)
    await world.seconds(3)
    assert [pod.is_awake for pod in world.pods] == [True, True]
    assert world.scales[DEPLOYMENT].replicas == 2, "no pod is started while one sleeps"


async def test_a_pod_that_serves_stays_awake_while_one_that_still_starts_is_taken_back(body: Bodies) -> None:
    world = World(body)
    await world.until_asleep()
    world.wake_by_gateway()
    world.say(calls=2, arrivals=2)
    await world.seconds(2)
    assert [pod.is_ready for pod in world.pods] == [True, False]
    world.orders.clear()
    # The ReplicaSet has not looked yet: both are still there.
    world.controllers = lambda: None  # type: ignore[method-assign]
    world.say(calls=1, arrivals=2)
    await world.seconds(2)
    assert world.scales[DEPLOYMENT].replicas == 1
    assert world.orders == []


async def test_a_pod_that_does_not_answer_orders_is_not_asked_all_the_time(body: Bodies) -> None:
    world = World(body)
    world.pods[0].is_loaded = True
    world.is_deaf = True
    world.say()
    await world.seconds(20)
    world.is_deaf = False
    world.orders.clear()
    await world.seconds(14)
    await world.seconds(2)
    assert len(world.orders) == 1


async def test_a_pod_that_refuses_to_sleep_is_told_of_once_and_again_once_it_has_slept(body: Bodies) -> None:
    world = World(body)
    world.pods[0].is_loaded = True
    world.pods[0].calls = 1
    world.say()
    await world.seconds(60)
    assert len(world.orders) > 2, "it is asked again"
    assert len(world.events) == 1
    world.pods[0].calls = 0
    await world.seconds(15)
    assert not world.pods[0].is_awake
    assert len(world.events) == 1
    world.say(calls=1, arrivals=1)
    world.wake_by_gateway()
    await world.seconds(3)
    world.say(arrivals=1)
    await world.seconds(15)
    assert not world.pods[0].is_awake
    assert [event.partition(":")[0] for event in world.events] == ["ScaledDown", "ScaledDown"]


async def test_a_model_that_deletes_its_pods_gives_no_orders(body: Bodies) -> None:
    world = World(body)
    world.body["spec"]["scaling"] = {"idleTimeout": "10s", "maxReplicas": 3}
    world.pods[0].is_loaded = True
    world.say()
    await world.seconds(20)
    assert world.orders == []
    assert world.scales[DEPLOYMENT].replicas == 0


STEPS = st.sampled_from(
    [
        "second",
        "seconds",
        "silence",
        "call",
        "answered",
        "late call",
        "operator",
        "crash",
        "loaded",
        "gateway",
    ]
)


@pytest.mark.parametrize("standby", [1, 2])
@settings(max_examples=30, deadline=None)
@given(steps=st.lists(STEPS, max_size=20))
async def test_whatever_happens_nobody_sleeps_by_silence_or_with_calls_and_who_calls_is_served(
    standby: int, steps: list[str]
) -> None:
    from tests.unit.operator.conftest import model_body

    world = World(model_body, standby=standby)
    arrivals = 0
    last_call_seconds = world.now_seconds
    for step in [*steps, "call"]:
        asked = len(world.orders)
        match step:
            case "second":
                await world.seconds()
            case "seconds":
                await world.seconds(12)
            case "silence":
                world.said = None
                await world.seconds(3)
            case "call":
                arrivals += 1
                world.say(calls=1, arrivals=arrivals)
                world.wake_by_gateway()
            case "answered":
                world.say(arrivals=arrivals)
            case "late call":
                # Straight to a pod, which no report shows before it has ended.
                arrivals += 1
                world.pods[0].call() if world.pods else None
                if world.said is not None:
                    world.say(arrivals=arrivals)
            case "operator":
                world.start_operator()
            case "crash":
                for pod in world.pods[:1]:
                    pod.is_loaded, pod.is_awake, pod.starts = False, True, pod.starts + 1
            case "loaded":
                for pod in world.pods:
                    pod.is_loaded = True
            case _:
                world.wake_by_gateway()
        if step in ("call", "late call", "answered"):
            last_call_seconds = world.now_seconds
        if any(path == names.PATH_SLEEP for _, path in world.orders[asked:]):
            assert world.said is not None, "silence puts nobody to sleep"
            calls = world.said.calls
            awake = sum(pod.is_awake for pod in world.pods)
            assert awake >= calls, "nor does a model with calls"
            if not awake:
                assert world.now_seconds - last_call_seconds >= IDLE_SECONDS, (
                    "nor the last pod before its time"
                )
    # The last step was a call: with pods that load it is served, whatever came before.
    for _ in range(20):
        for pod in world.pods:
            pod.is_loaded = True
        await world.seconds()
        if any(pod.is_ready and pod.is_awake for pod in world.pods):
            return
        world.wake_by_gateway()
    raise AssertionError("no pod serves the call")
