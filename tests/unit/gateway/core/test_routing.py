"""What each way of naming a model means."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import authorities_of, refusal, routing_table


def _key(text: str) -> ModelKey:
    return ModelKey.parse(text)


def test_a_lone_model_is_the_one_that_calls_without_a_name_mean() -> None:
    assert routing_table([_key("demo/qca")]).only == _key("demo/qca")


def test_with_several_models_none_is_meant() -> None:
    table = routing_table([_key("demo/qca"), _key("demo/kerr")])
    assert table.only is None
    assert "set the header atheria-model to namespace/name, one of demo/kerr, demo/qca" in table.refusal


def test_a_bare_name_is_unique_only_when_no_other_namespace_has_it() -> None:
    table = routing_table([_key("a/qca"), _key("b/qca"), _key("a/kerr")])
    assert table.unique_names == (_key("a/kerr"),)


def test_without_models_the_refusal_says_to_apply_one() -> None:
    table = routing_table([])
    assert table.only is None
    assert "Apply an AtheriaModel" in table.refusal
    assert "atheria-model" in table.refusal


def test_a_long_list_of_models_is_cut() -> None:
    sentence = refusal(tuple(_key(f"demo/m{i:02}") for i in range(25)))
    assert "demo/m09" in sentence
    assert "demo/m10" not in sentence
    assert sentence.endswith("and 15 more")


def test_the_in_cluster_names_are_the_authorities() -> None:
    assert authorities_of(_key("demo/qca")) == ("qca.demo", "qca.demo.svc", "qca.demo.svc.*")


_KEYS = st.builds(ModelKey, namespace=st.sampled_from("abc"), name=st.sampled_from("xyz"))


@given(st.lists(_KEYS, max_size=12), st.randoms())
def test_the_table_depends_on_the_set_of_models_only(keys: list[ModelKey], order: Random) -> None:
    shuffled = [*keys, *keys]
    order.shuffle(shuffled)
    assert routing_table(keys) == routing_table(shuffled)


@given(st.sets(_KEYS))
def test_no_two_models_share_an_authority(keys: set[ModelKey]) -> None:
    names = [authority for key in keys for authority in authorities_of(key)]
    assert len(names) == len(set(names))
