"""Label selectors select as Kubernetes' do."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_local.label_selector import selects


def test_every_operator_of_a_selector_is_understood_and_no_other() -> None:
    labels = {"tier": "gold"}

    def holds(operator: str, key: str = "tier", **more: Any) -> bool:
        return selects({"matchExpressions": [{"key": key, "operator": operator, **more}]}, labels)

    assert holds("In", values=["gold"])
    assert not holds("In", values=["lead"])
    assert not holds("NotIn", values=["gold"])
    assert holds("NotIn", key="absent", values=["gold"])
    assert holds("Exists")
    assert holds("DoesNotExist", key="absent")
    assert selects({}, labels)
    assert not selects({"matchLabels": {"tier": "lead"}}, labels)
    with pytest.raises(ValueError, match="'Gt' of a selector"):
        holds("Gt")
