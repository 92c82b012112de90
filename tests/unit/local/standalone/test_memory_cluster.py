"""Objects in memory that behave as the API server's where gateway and operator depend on it."""

from __future__ import annotations

import asyncio

import pytest

from atheria_contract import names
from atheria_gateway.core.live_model import LastDecision, LiveModel, live_model_from_object
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, ScaleTarget, Watched
from atheria_local.standalone.memory_cluster import DEPLOYMENT, POD, SLICE, MemoryCluster
from atheria_local.standalone.objects import (
    Body,
    Pod,
    as_stored,
    pod_object,
    price_in,
    slice_object,
    status_of,
)
from atheria_operator.domain.cost import Price, Usage, cost_status
from atheria_operator.domain.pods import is_ready
from atheria_operator.runtime.ports import CONFLICT, NOT_FOUND, ClusterError, ObjectRef, Scale

KEY = ModelKey(namespace="demo", name="qca")
POD_1 = Pod(name="qca-abc-1", address="127.16.0.2", created="2026-01-01T00:00:00Z", is_ready=True)


def cluster() -> MemoryCluster:
    found = MemoryCluster(lambda: None)
    found.put(names.MODEL_KIND, {"metadata": {"name": "qca", "namespace": "demo"}, "spec": {}})
    found.put(DEPLOYMENT, {"metadata": {"name": "qca", "namespace": "demo"}, "spec": {"replicas": 0}})
    return found


def ref(kind: str, name: str = "qca") -> ObjectRef:
    return ObjectRef(api_version="v1", kind=kind, namespace="demo", name=name)


async def test_a_wake_sets_one_pod_and_never_lowers_a_number() -> None:
    found = cluster()
    for target in ScaleTarget:
        assert await found.scale_from_zero(target, KEY)
        assert not await found.scale_from_zero(target, KEY)
    assert not await found.scale_from_zero(ScaleTarget.MODEL, ModelKey(namespace="demo", name="ghost"))


async def test_a_number_of_pods_is_only_written_at_the_version_that_was_read() -> None:
    found = cluster()
    seen = await found.read_scale(ref(DEPLOYMENT))
    assert seen is not None
    await found.scale_from_zero(ScaleTarget.DEPLOYMENT, KEY)
    with pytest.raises(ClusterError) as caught:
        await found.write_scale(ref(DEPLOYMENT), Scale(replicas=0, resource_version=seen.resource_version))
    assert caught.value.status == CONFLICT
    fresh = await found.read_scale(ref(DEPLOYMENT))
    assert fresh is not None
    assert fresh.replicas == 1
    written = await found.write_scale(
        ref(DEPLOYMENT), Scale(replicas=3, resource_version=fresh.resource_version)
    )
    assert await found.read_scale(ref(DEPLOYMENT)) == written


async def test_what_does_not_exist_cannot_be_scaled() -> None:
    assert await cluster().read_scale(ref(DEPLOYMENT, "ghost")) is None
    with pytest.raises(ClusterError) as caught:
        await cluster().write_scale(ref(DEPLOYMENT, "ghost"), Scale(replicas=1, resource_version="1"))
    assert caught.value.status == NOT_FOUND


async def test_a_follower_sees_what_there_is_and_then_each_change_of_its_kind() -> None:
    found = cluster()
    events = found.follow(Watched.SLICES)
    first = await anext(events)
    assert isinstance(first, Listed)
    assert first.objects == ()
    found.put(names.MODEL_KIND, {"metadata": {"name": "qca", "namespace": "demo"}, "spec": {"replicas": 1}})
    body = found.put(SLICE, slice_object(POD_1, "qca", "abc"))
    assert await asyncio.wait_for(anext(events), 60) == Changed(body=body)
    found.remove(SLICE, "qca-abc-1-slice")
    assert await asyncio.wait_for(anext(events), 60) == Deleted(body=body)


async def test_the_cost_of_a_pods_deletion_is_written_for_that_very_pod_and_taken_back() -> None:
    found = cluster()
    found.put(POD, pod_object(POD_1, "qca", "abc"))

    def cost() -> str | None:
        body: Body | None = found.get(POD, POD_1.name)
        assert body is not None
        value: str | None = body["metadata"]["annotations"].get(names.ANNOTATION_DELETION_COST)
        return value

    await found.set_deletion_cost(ref(POD, POD_1.name), "another", 7)
    assert cost() is None
    await found.set_deletion_cost(ref(POD, POD_1.name), POD_1.name, 7)
    assert cost() == "7"
    await found.set_deletion_cost(ref(POD, POD_1.name), POD_1.name, None)
    assert cost() is None


def test_a_pod_is_ready_for_the_operator_when_its_server_is() -> None:
    assert is_ready(pod_object(POD_1, "qca", "abc"))
    starting = Pod(name="qca-abc-2", address="127.16.0.3", created="2026-01-01T00:00:00Z")
    assert not is_ready(pod_object(starting, "qca", "abc"))


def test_the_status_says_at_zero_that_the_next_call_wakes_it() -> None:
    status = status_of("qca-abc", 0, ())
    assert (status["phase"], status["conditions"][0]["status"]) == ("ScaledToZero", "True")
    assert status_of("qca-abc", 1, ())["conditions"][0]["status"] == "False"
    assert status_of("qca-abc", 1, (POD_1,))["phase"] == "Serving"


def test_the_live_page_finds_the_defaults_and_the_newest_decision() -> None:
    manifest = {
        "metadata": {"name": "qca", "namespace": "demo"},
        "spec": {"model": {"source": "builtin://qca"}},
    }
    status = status_of("qca-abc", 1, (POD_1,), [{"reason": "Idle", "message": "m", "time": "t"}])
    shown = live_model_from_object({**as_stored(manifest), "status": status})
    assert (shown.runtime, shown.asked, shown.ready, shown.pods) == ("atheria", 0, 1, 1)
    assert shown.last_decision == LastDecision(reason="Idle", message="m", at="t")
    assert (shown.queue, shown.cost_per_1000_usd, shown.cost_unknown) == (None, None, None)
    chosen = {**manifest, "spec": {"replicas": 2, "model": {"source": "x", "runtime": "custom"}}}
    assert live_model_from_object(as_stored(chosen)).runtime == "custom"
    assert live_model_from_object(as_stored(chosen)).asked == 2


def test_the_live_page_finds_the_queue_and_what_the_calls_cost() -> None:
    usage = Usage(since="2026-01-01T00:00:00Z", seconds=60, busy_seconds=20, idle_seconds=40, calls=100)

    def shown(price: Price | None) -> LiveModel:
        status = status_of("qca-abc", 1, (POD_1,), queue=7, cost=cost_status(usage, price, 1))
        return live_model_from_object({"metadata": {"name": "qca"}, "status": status})

    priced = shown(Price(usd_per_hour=3.6))
    assert (priced.queue, priced.cost_per_1000_usd, priced.cost_basis) == (7, 0.6, "measured")
    assert (shown(None).cost_per_1000_usd, shown(None).cost_unknown) == (None, "no price")


def test_a_price_is_that_of_the_profile_that_the_model_names_in_the_same_file() -> None:
    def profile(name: str, **spec: object) -> Body:
        return {"kind": names.PROFILE_KIND, "metadata": {"name": name}, "spec": spec}

    dear, cheap = ({"usdPerHour": usd, "source": "a page"} for usd in ("9", "0.05"))
    documents = [
        {"kind": names.MODEL_KIND, "metadata": {"name": "qca"}},
        None,
        "text",
        profile("nvidia-l4", price=dear),
        profile("cpu", price=cheap),
        profile("free"),
    ]
    assert price_in(documents, "cpu") == Price(usd_per_hour=0.05, source="a page")
    assert price_in(documents, "nvidia-l4") == Price(usd_per_hour=9, source="a page")
    assert price_in(documents, "free") is None
    assert price_in(documents, "elsewhere") is None
