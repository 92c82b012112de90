"""The picture of the cluster that the watches keep."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_gateway.core.model import ModelKey
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, Watched
from atheria_gateway.runtime.world import World

QCA = ModelKey(namespace="demo", name="qca")
MODEL = {"metadata": {"namespace": "demo", "name": "qca"}, "status": {"activeRevision": "qca-r1"}}


def _slice(name: str, address: str, role: str = names.ROLE_PODS) -> dict[str, Any]:
    labels = {names.LABEL_ROLE: role, names.LABEL_MODEL: "qca", names.LABEL_REVISION: "r1"}
    return {
        "metadata": {"namespace": "demo", "name": name, "labels": labels},
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }


def _addresses(world: World) -> list[str]:
    return [endpoint.address for endpoint in world.ready_of(QCA)]


def test_it_is_complete_when_models_and_slices_have_been_listed() -> None:
    world = World()
    world.take(Watched.MODELS, Listed(objects=(MODEL,)))
    world.take(Watched.PODS, Listed(objects=()))
    assert not world.is_complete
    world.take(Watched.SLICES, Listed(objects=()))
    assert world.is_complete


def test_pods_of_all_slices_of_the_model_are_its_endpoints() -> None:
    world = World()
    world.take(Watched.MODELS, Listed(objects=(MODEL,)))
    world.take(Watched.SLICES, Listed(objects=(_slice("a", "10.0.0.1"), _slice("b", "10.0.0.2"))))
    assert _addresses(world) == ["10.0.0.1", "10.0.0.2"]
    world.take(Watched.SLICES, Deleted(body=_slice("a", "10.0.0.1")))
    assert _addresses(world) == ["10.0.0.2"]
    world.take(Watched.SLICES, Changed(body=_slice("b", "10.0.0.3")))
    assert _addresses(world) == ["10.0.0.3"]


def test_a_new_list_forgets_what_is_not_in_it() -> None:
    world = World()
    world.take(Watched.MODELS, Listed(objects=(MODEL,)))
    world.take(Watched.SLICES, Listed(objects=(_slice("a", "10.0.0.1"),)))
    world.take(Watched.SLICES, Listed(objects=()))
    assert _addresses(world) == []
    world.take(Watched.MODELS, Listed(objects=()))
    assert world.data_plane().routing.models == ()


def test_the_gateways_own_slices_are_kept_apart_from_pods() -> None:
    world = World()
    world.take(Watched.MODELS, Listed(objects=(MODEL,)))
    own = _slice("qca-gateway", "10.0.0.9", role=names.ROLE_GATEWAY)
    world.take(Watched.SLICES, Listed(objects=(own,)))
    assert _addresses(world) == []
    assert world.gateway_slices == {("demo", "qca-gateway"): own}
    world.take(Watched.SLICES, Deleted(body=own))
    assert world.gateway_slices == {}


def test_a_status_change_that_moves_no_call_leaves_the_data_plane_equal() -> None:
    world = World()
    world.take(Watched.MODELS, Listed(objects=(MODEL,)))
    before = world.data_plane()
    world.take(
        Watched.MODELS, Changed(body={**MODEL, "status": {"activeRevision": "qca-r1", "phase": "Ready"}})
    )
    assert world.data_plane() == before


def test_a_gateway_pod_that_goes_away_is_forgotten() -> None:
    world = World()
    pod = {"metadata": {"namespace": "s", "name": "g-0"}, "status": {"podIP": "10.0.0.9"}}
    world.take(Watched.PODS, Changed(body=pod))
    assert len(world.gateway_pods) == 1
    leaving = {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    world.take(Watched.PODS, Changed(body=leaving))
    assert world.gateway_pods == {}


def test_what_the_live_page_shows_is_kept_only_where_there_is_one_and_goes_with_the_model() -> None:
    plain, world = World(), World(has_live_page=True)
    for one in (plain, world):
        one.take(Watched.MODELS, Listed(objects=(MODEL,)))
    assert plain.live_models == {}
    assert list(world.live_models) == [QCA]
    world.take(Watched.MODELS, Changed(body={**MODEL, "status": {"phase": "Serving"}}))
    assert world.live_models[QCA].phase == "Serving"
    world.take(Watched.MODELS, Deleted(body=MODEL))
    assert world.live_models == {}
    world.take(Watched.MODELS, Changed(body=MODEL))
    world.take(Watched.MODELS, Listed(objects=()))
    assert world.live_models == {}
