"""Pods that said themselves that they are awake count before their probe has seen it, and not for ever."""

from __future__ import annotations

from atheria_gateway.core.endpoints import Endpoint, PodSlice, pod_slice_from_object
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.roused import COUNTS_S, Roused

QCA = ModelKey(namespace="demo", name="qca")
ONE, TWO = Endpoint(address="10.0.0.1"), Endpoint(address="10.0.0.2")


def slice_of(*, ready: tuple[Endpoint, ...] = (), unready: tuple[Endpoint, ...] = ()) -> PodSlice:
    return PodSlice(namespace="demo", name="qca-x", model=QCA, revision="x", endpoints=ready, unready=unready)


def counted(roused: Roused, one: PodSlice) -> tuple[Endpoint, ...]:
    (found,) = roused.counted(QCA, [one])
    return found.endpoints


def test_a_roused_pod_counts_as_long_as_its_slice_lists_it() -> None:
    roused = Roused()
    roused.add(QCA, ONE, 0.0)
    assert counted(roused, slice_of(unready=(ONE, TWO))) == (ONE,)
    assert counted(roused, slice_of(ready=(TWO,), unready=(ONE,))) == (ONE, TWO)
    assert counted(roused, slice_of(ready=(TWO,))) == (TWO,)
    assert counted(Roused(), slice_of(unready=(ONE,))) == ()


def test_once_the_slice_has_said_ready_it_alone_counts() -> None:
    roused = Roused()
    roused.add(QCA, ONE, 0.0)
    roused.seen(slice_of(unready=(ONE,)))
    assert counted(roused, slice_of(unready=(ONE,))) == (ONE,)
    roused.seen(slice_of(ready=(ONE,)))
    assert counted(roused, slice_of(unready=(ONE,))) == (), "it sleeps again"


def test_a_pod_whose_probe_never_follows_counts_no_longer() -> None:
    roused = Roused()
    roused.add(QCA, ONE, 100.0)
    assert not roused.expire(100.0 + COUNTS_S - 0.1)
    assert roused.expire(100.0 + COUNTS_S)
    assert counted(roused, slice_of(unready=(ONE,))) == ()
    assert not roused.expire(1000.0)


def test_a_slice_tells_pods_that_are_not_ready_apart_from_those_that_leave() -> None:
    def endpoint(address: str, **conditions: bool) -> dict[str, object]:
        return {"addresses": [address], "conditions": conditions}

    found = pod_slice_from_object(
        {
            "metadata": {"namespace": "demo", "name": "qca-x", "labels": {"atheria.dev/model": "qca"}},
            "endpoints": [
                endpoint("10.0.0.1", ready=True),
                endpoint("10.0.0.2", ready=False),
                endpoint("10.0.0.3", ready=False, terminating=True),
            ],
        }
    )
    assert [one.address for one in found.endpoints] == ["10.0.0.1"]
    assert [one.address for one in found.unready] == ["10.0.0.2"]
