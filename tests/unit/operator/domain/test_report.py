"""A pod's report as parts of the status, whatever it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.api.types import AtheriaModelStatus
from atheria_operator.domain.status.report import MAX_ENTRIES, START, read_report

ANSWER: dict[str, Any] = {
    "precision": {"policy": "hierarchy", "why": "asked for", "layers": [{}], "notes": []},
    "weight_bytes": 18_432,
    "quality": {
        "passed": True,
        "profile": "default",
        "reason": "Passed",
        "message": "",
        "measurements": [
            {"name": "F_8", "value": 0.9997, "limit": 0.98},
            {"name": "S", "value": 0.00020000001, "limit": None},
        ],
    },
    "compile": {
        "mode": "reduce-overhead",
        "cache": "hit",
        "why": "",
        "graphs": 4,
        "seconds": 1.25,
        "saved_seconds": 22.5,
    },
    "kv_cache": {
        "wanted": "int4",
        "precision": "int8",
        "recent_window": 128,
        "agreement": 0.99812345,
        "divergence": 0.0004,
        "positions": 640,
        "least_agreement": 0.99,
        "most_divergence": None,
        "stepped_back": True,
        "why": "int4 is over the budget",
    },
    "warm": [{"shape": [16, 64, 64], "rows": 8, "compile_seconds": 1.0, "run_seconds": 0.004}],
    "evaluation": {"throughput": 120.5, "device": "cpu", "deep": {"left": "out"}, "measured": True},
}


def parts(answer: Any) -> dict[str, Any]:
    return dict(read_report(answer, revision="qca-a", pod="p"))


def test_every_part_that_a_server_tells_becomes_a_part_of_the_status() -> None:
    of = {"revision": "qca-a", "pod": "p"}
    assert parts(ANSWER) == {
        "quality": {
            **of,
            "passed": True,
            "profile": "default",
            "reason": "Passed",
            "metrics": [
                {"name": "F_8", "value": 0.9997, "limit": 0.98},
                {"name": "S", "value": 0.0002},
            ],
        },
        "precision": {**of, "chosen": "hierarchy", "why": "asked for", "weightBytes": 18_432},
        "compileCache": {
            **of,
            "mode": "reduce-overhead",
            "result": "hit",
            "graphs": 4,
            "seconds": 1.25,
            "savedSeconds": 22.5,
        },
        "kvCache": {
            **of,
            "wanted": "int4",
            "precision": "int8",
            "recentWindow": 128,
            "agreement": 0.998123,
            "divergence": 0.0004,
            "comparedTokens": 640,
            "leastAgreement": 0.99,
            "steppedBack": True,
            "why": "int4 is over the budget",
        },
        "warmup": [{"shape": "16x64x64", "rows": 8, "compileSeconds": 1.0, "runSeconds": 0.004}],
        "evaluation": {"throughput": 120.5, "device": "cpu", "measured": True},
    }


@pytest.mark.parametrize(
    ("shape", "name"), [([16, 8], "16x8"), ([], "default"), ("16x8", "16x8"), ([16, "a"], None), (None, None)]
)
def test_a_shape_is_one_word(shape: Any, name: str | None) -> None:
    found = parts({"warm": [{"shape": shape, "rows": 1}]}).get("warmup", [{}])[0]
    assert found.get("shape") == name


def test_the_seconds_of_the_servers_start_are_kept_as_far_as_they_are_seconds() -> None:
    told = {"start_seconds": {"import": 1.23456, "setup": 0, "warmup": -1, "else": 3}}
    assert parts(told) == {START: {"importSeconds": 1.235, "loadSeconds": 0.0}}
    assert parts({"start_seconds": 3.0}) == {}


@pytest.mark.parametrize("answer", [None, [], "text", 7, {}, {"quality": [], "warm": {}, "compile": 1}])
def test_an_answer_that_tells_nothing_is_no_part(answer: Any) -> None:
    assert parts(answer) == {}


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), True, "0.9", None, 10**400],
    ids=["nan", "inf", "bool", "text", "null", "huge"],
)
def test_a_metric_without_a_number_is_left_out_and_the_others_stay(value: Any) -> None:
    quality = {"passed": False, "measurements": [{"name": "a", "value": value}, {"name": "b", "value": 1}]}
    assert parts({"quality": quality})["quality"]["metrics"] == [{"name": "b", "value": 1.0}]


def test_two_metrics_of_one_name_are_one_and_a_flood_is_cut() -> None:
    many = [{"name": f"m{index}", "value": index} for index in range(1000)]
    metrics = parts({"quality": {"measurements": [many[0], *many]}})["quality"]["metrics"]
    assert len(metrics) == len({metric["name"] for metric in metrics}) <= MAX_ENTRIES


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2000)
_KEYS = st.sampled_from(
    [
        *("precision", "policy", "why", "weight_bytes", "quality", "passed", "profile", "reason", "message"),
        *("measurements", "name", "value", "limit", "compile", "mode", "cache", "graphs", "seconds"),
        *("saved_seconds", "warm", "shape", "rows", "compile_seconds", "run_seconds", "evaluation"),
        *("start_seconds", "import", "setup", "warmup", "kv_cache", "wanted", "stepped_back", "positions"),
        *("agreement", "divergence", "least_agreement", "most_divergence", "recent_window"),
    ]
)


@given(
    answer=st.recursive(
        _LEAVES,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=12),
        max_leaves=40,
    )
)
def test_no_answer_makes_a_status_that_the_schema_refuses(answer: Any) -> None:
    found = parts(answer)
    start = {"server": found.pop(START)} if START in found else {}
    found["coldStart"] = {"pod": "p", "revision": "qca-a", "startedAt": "2026-01-01T00:00:00Z", **start}
    AtheriaModelStatus.model_validate(found)
    json.dumps(found, allow_nan=False)
