"""How a model's calls are shared between revisions."""

from __future__ import annotations

from atheria_gateway.core.endpoints import Endpoint, PodSlice, endpoints_of
from atheria_gateway.core.model import Model, ModelKey
from atheria_gateway.core.shares import Share, shares_of

QCA = ModelKey(namespace="demo", name="qca")
A, B, C = (Endpoint(address=f"10.0.0.{number}") for number in (1, 2, 3))


def _slice(revision: str, *endpoints: Endpoint, model: ModelKey = QCA) -> PodSlice:
    return PodSlice(
        namespace="demo", name=f"{revision}-x", model=model, revision=revision, endpoints=endpoints
    )


def test_two_revisions_with_weights_share_the_calls_each_with_its_own_pods() -> None:
    model = Model(key=QCA, active_revision="qca-a", weights={"qca-b": 10, "qca-a": 90})
    slices = (_slice("b", B), _slice("a", A), _slice("old", C))
    assert shares_of(model, slices) == (
        Share(revision="qca-a", weight=90, endpoints=(A,)),
        Share(revision="qca-b", weight=10, endpoints=(B,)),
    )
    assert endpoints_of(model, slices) == (A, B)


def test_one_revision_or_weights_that_are_not_whole_share_nothing() -> None:
    for weights in ({}, {"qca-a": 100}, {"qca-a": 100, "qca-b": 0}, {"qca-a": 50, "qca-b": 10}):
        assert shares_of(Model(key=QCA, weights=weights), (_slice("a", A), _slice("b", B))) == ()


def test_a_released_call_goes_to_any_revision_that_takes_calls_and_else_to_any_at_all() -> None:
    model = Model(key=QCA, active_revision="qca-a", weights={"qca-a": 90, "qca-b": 10})
    assert endpoints_of(model, (_slice("a"), _slice("b", B), _slice("old", C))) == (B,)
    assert endpoints_of(model, (_slice("a"), _slice("b"), _slice("old", C))) == (C,)
