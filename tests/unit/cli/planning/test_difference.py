"""What differs between an object as it is and as it would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atheria_cli.planning.difference import changes

LIVE = {
    "apiVersion": "v1",
    "kind": "A",
    "metadata": {"name": "a", "uid": "1", "labels": {"team": "x"}, "managedFields": []},
    "spec": {"scaling": {"maxReplicas": 4, "target": 8}, "shapes": [[1]], "gone": {"deep": True}},
    "status": {"phase": "Serving"},
}


def test_fields_that_differ_are_named_by_path_with_both_values() -> None:
    after = {
        **LIVE,
        "metadata": {"name": "a", "labels": {"team": "y"}},
        "spec": {"scaling": {"maxReplicas": 8, "target": 8}, "shapes": [[1], [2]], "new": "text"},
        "status": {},
    }
    assert [str(one) for one in changes(LIVE, after)] == [
        "~ metadata.labels.team: x -> y",
        "- spec.gone.deep: true",
        "+ spec.new: text",
        "~ spec.scaling.maxReplicas: 4 -> 8",
        "~ spec.shapes: [[1]] -> [[1], [2]]",
    ]


def test_what_the_api_server_writes_itself_is_no_change() -> None:
    after = {**LIVE, "metadata": {**LIVE["metadata"], "resourceVersion": "9", "generation": 2}, "status": {}}  # type: ignore[dict-item]
    assert changes(LIVE, after) == ()


def test_every_field_of_a_new_object_is_added() -> None:
    assert {str(one)[0] for one in changes({}, LIVE)} == {"+"}


def test_a_long_value_is_cut() -> None:
    (one,) = changes({}, {"spec": {"a": "x" * 1000}})
    assert len(str(one)) < 150


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=10,
    )
)
def test_an_object_never_differs_from_itself(spec: object) -> None:
    assert changes({"spec": spec}, {"spec": spec}) == ()


def test_what_a_secret_holds_is_never_shown() -> None:
    before = {"kind": "Secret", "data": {"key": "b2xk", "same": "eA=="}}
    after = {"kind": "Secret", "data": {"key": "bmV3", "same": "eA=="}, "stringData": {"more": "clear"}}
    found = changes(before, after)
    assert [one.path for one in found] == ["data.key", "stringData.more"]
    words = " ".join(f"{one} {one.before} {one.after}" for one in found)
    assert "(hidden)" in words
    assert not any(value in words for value in ("b2xk", "bmV3", "clear"))
