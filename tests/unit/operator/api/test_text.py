"""The runtime `text`: told to the server by a parameter, and refused where it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_operator.api.model import ModelIntent, Problem
from atheria_operator.api.parse import parse_model

Bodies = Callable[..., dict[str, Any]]
MODEL = {"source": "hf://owner/name@abc", "runtime": "text"}


def test_the_server_learns_of_it_beside_its_parameters(body: Bodies) -> None:
    found = parse_model(body(model={**MODEL, "parameters": {"places": 8}}))
    assert isinstance(found, ModelIntent), found
    assert found.serving.parameters == {"places": 8, "runtime": "text"}
    assert found.custom is None


def test_without_it_the_server_is_told_nothing(body: Bodies) -> None:
    found = parse_model(body())
    assert isinstance(found, ModelIntent), found
    assert "runtime" not in found.serving.parameters


def test_typed_fields_are_told_as_the_servers_own_parameters(body: Bodies) -> None:
    found = parse_model(
        body(
            model=MODEL,
            kvCache={"precision": "int8", "recentWindow": 64, "leastAgreement": 0.98, "mostDivergence": 0},
            attention={"kernel": "flash"},
        )
    )
    assert isinstance(found, ModelIntent), found
    assert found.serving.parameters == {
        "runtime": "text",
        "kv_precision": "int8",
        "kv_recent_window": 64,
        "kv_least_agreement": 0.98,
        "kv_most_divergence": 0.0,
        "attention": "flash",
    }


def test_what_typed_fields_leave_out_stays_with_the_parameters(body: Bodies) -> None:
    model = {**MODEL, "parameters": {"kv_recent_window": 64}}
    found = parse_model(body(model=model, kvCache={"precision": "int8"}, attention={}))
    assert isinstance(found, ModelIntent), found
    assert found.serving.parameters == {"runtime": "text", "kv_recent_window": 64, "kv_precision": "int8"}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"model": {**MODEL, "source": "python://a:B"}}, "spec.model.source is 'python://a:B', a LitAPI"),
        ({"model": {**MODEL, "parameters": {"runtime": "text"}}}, "spec.model.parameters.runtime is set by"),
        ({"compile": {"mode": "default"}}, "spec.compile.mode is 'default'"),
        ({"warmup": {"shapes": [[1]]}}, "spec.warmup.shapes is set"),
        (
            {"model": {**MODEL, "parameters": {"kv_precision": "int4"}}, "kvCache": {"precision": "int8"}},
            "and spec.model.parameters.kv_precision, which is the same setting, is 'int4': remove the parameter",
        ),
        (
            {"model": {**MODEL, "parameters": {"attention": "flash"}}, "attention": {"kernel": "flash"}},
            "spec.attention.kernel is 'flash' and spec.model.parameters.attention",
        ),
        (
            {"model": {"source": "builtin://qca"}, "kvCache": {}},
            "spec.kvCache is set, and spec.model.runtime is 'atheria'",
        ),
        (
            {"model": {"source": "builtin://qca"}, "attention": {"kernel": "flash"}},
            "spec.attention is set, and spec.model.runtime is 'atheria'",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_by_field(body: Bodies, spec: dict[str, Any], words: str) -> None:
    found = parse_model(body(**{"model": MODEL, **spec}))
    assert isinstance(found, Problem)
    assert words in found.message
