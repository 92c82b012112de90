"""spec.podTemplate over our template."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.domain.desired.merge import merge_template

MAPS = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
TREES = st.dictionaries(st.sampled_from("abc"), MAPS, max_size=3)


def test_containers_merge_by_name_and_others_are_added() -> None:
    base = {"containers": [{"name": "model", "image": "a", "env": [{"name": "A", "value": "1"}]}]}
    over = {
        "containers": [
            {"name": "model", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
            {"name": "side", "image": "b"},
        ]
    }
    assert merge_template(base, over) == {
        "containers": [
            {
                "name": "model",
                "image": "a",
                "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}],
            },
            {"name": "side", "image": "b"},
        ]
    }


def test_tolerations_are_added_other_lists_replace_and_null_removes() -> None:
    base = {"tolerations": [{"key": "a"}], "args": ["x", "y"], "securityContext": {"fsGroup": 1}}
    over = {"tolerations": [{"key": "b"}, {"key": "a"}], "args": ["z"], "securityContext": {"fsGroup": None}}
    assert merge_template(base, over) == {
        "tolerations": [{"key": "a"}, {"key": "b"}],
        "args": ["z"],
        "securityContext": {},
    }


@given(base=TREES, over=TREES)
def test_merging_twice_is_merging_once_and_changes_no_argument(
    base: dict[str, object], over: dict[str, object]
) -> None:
    before = copy.deepcopy((base, over))
    once = merge_template(base, over)
    assert merge_template(once, over) == once
    assert (base, over) == before


@given(base=TREES)
def test_nothing_over_a_template_is_the_template(base: dict[str, object]) -> None:
    assert merge_template(base, {}) == base
