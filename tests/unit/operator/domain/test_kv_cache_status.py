"""KvCacheAccepted: what a pod measured of its compressed cache, and the Event where it stepped back."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_operator.domain.status.kv_cache import kv_cache_accepted
from atheria_operator.domain.status.report import read_report
from atheria_operator.domain.status.transitions import transitions

WITHIN = {
    "wanted": "int8",
    "precision": "int8",
    "agreement": 0.998,
    "divergence": 0.0004,
    "positions": 640,
    "least_agreement": 0.99,
    "most_divergence": 0.01,
    "stepped_back": False,
    "why": "int8 is within the budget",
}
BACK = {**WITHIN, "wanted": "int4", "stepped_back": True, "why": "int4 is over the budget, back to int8"}


def part(told: dict[str, Any], revision: str = "m-a") -> dict[str, Any]:
    return dict(read_report({"kv_cache": told}, revision=revision, pod="p")["kvCache"])


def status(told: dict[str, Any]) -> dict[str, Any]:
    conditions = kv_cache_accepted("m-a", part(told))
    return {
        "conditions": [
            {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
            for one in conditions
        ]
    }


def test_a_cache_within_its_budget_is_told_with_what_is_allowed() -> None:
    (found,) = kv_cache_accepted("m-a", part(WITHIN))
    assert (found.type, found.status, found.reason) == ("KvCacheAccepted", "True", "WithinBudget")
    assert found.message == (
        "int8 as asked for: 99.80% of 640 likeliest tokens agree (least 99.00%), divergence 0.0004 nats per token (most 0.01)"
    )


def test_one_that_stepped_back_says_why_and_what_to_do() -> None:
    (found,) = kv_cache_accepted("m-a", part(BACK))
    assert (found.status, found.reason) == ("False", "SteppedBack")
    assert found.message.startswith(
        "int4 was asked for and int8 is served (int4 is over the budget, back to int8): set "
    )
    assert "spec.kvCache.precision: int8" in found.message
    assert "spec.kvCache.mostDivergence" in found.message


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("m-a", {}),
        ("m-b", part(BACK)),
        ("", part(BACK, revision="")),
        ("m-a", part({**WITHIN, "wanted": "full", "precision": "full"})),
        ("m-a", part({"wanted": "int8"})),
    ],
)
def test_without_a_compressed_cache_of_the_revision_there_is_no_condition(
    revision: str, told: dict[str, Any]
) -> None:
    assert kv_cache_accepted(revision, told) == ()


def test_figures_that_a_pod_does_not_tell_are_left_out() -> None:
    (found,) = kv_cache_accepted("m-a", part({"wanted": "int8", "precision": "int8"}))
    assert found.message == "int8 as asked for"


def test_a_step_back_is_an_event_once_and_so_is_its_end() -> None:
    none: dict[str, Any] = {"conditions": []}
    (event,) = transitions(none, status(BACK))
    assert event[:3] == ("KvCacheAccepted", True, "SteppedBack")
    assert transitions(status(BACK), status(BACK)) == []
    assert [one[1:3] for one in transitions(status(BACK), status(WITHIN))] == [(False, "WithinBudget")]
    assert transitions(none, status(WITHIN)) == [], "what was asked for is no news"
