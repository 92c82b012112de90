"""What the watches of the policy program know, and when it has rules."""

from __future__ import annotations

from typing import Any

from atheria_local.policies import Seen

POLICY = {"podSelector": {}, "policyTypes": ["Ingress"]}


def item(uid: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid, "namespace": "demo"}, **more}


def pod(uid: str, address: str) -> dict[str, Any]:
    return item(uid, spec={"containers": [{}]}, status={"podIP": address})


def listed() -> Seen:
    seen = Seen()
    seen.replace("pods", [pod("a", "10.0.0.1")])
    seen.replace("namespaces", [item("demo")])
    seen.replace("policies", [item("deny", spec=POLICY)])
    return seen


def test_there_are_no_rules_before_every_kind_was_listed() -> None:
    seen = Seen()
    seen.replace("pods", [pod("a", "10.0.0.1")])
    seen.replace("policies", [item("deny", spec=POLICY)])
    assert seen.rules() == ""
    seen.replace("namespaces", [item("demo")])
    assert "-d 10.0.0.1 -j REJECT" in seen.rules()


def test_news_change_the_rules_and_wake_the_writer() -> None:
    seen = listed()
    seen.changed.clear()
    seen.take("pods", "ADDED", pod("b", "10.0.0.2"))
    assert seen.changed.is_set()
    assert "-d 10.0.0.2 -j REJECT" in seen.rules()
    seen.take("pods", "DELETED", pod("a", "10.0.0.1"))
    assert "10.0.0.1" not in seen.rules()
    seen.take("policies", "DELETED", item("deny", spec=POLICY))
    assert "REJECT" not in seen.rules()


def test_a_new_list_forgets_what_is_no_longer_there() -> None:
    seen = listed()
    seen.replace("pods", [pod("b", "10.0.0.2")])
    assert "10.0.0.1" not in seen.rules()
    assert "-d 10.0.0.2 -j REJECT" in seen.rules()
