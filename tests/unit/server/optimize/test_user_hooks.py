"""Warm-up hooks of the user: called with the LitAPI, and named when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_server.core.errors import ModelRefusedError
from atheria_server.engine.phases import Phase
from atheria_server.optimize.requests import parse_requests
from atheria_server.optimize.user_hooks import run_hooks

CODE = """
calls = []
number = 1
def good(api): calls.append(api)
def fail(api): raise OSError("the licence server is gone")
async def later(api): pass
"""


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"user_hooks_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_each_hook_is_told_bounded_and_called_in_order(hooks: str) -> None:
    told: list[Phase] = []
    run_hooks("the api", [f"{hooks}:good", f"{hooks}:good"], timeout_seconds=7, progress=told.append)
    import sys

    assert sys.modules[hooks].calls == ["the api", "the api"]
    assert [(phase.done, phase.total, phase.bound_seconds) for phase in told] == [(0, 2, 7), (1, 2, 7)]
    assert told[1].overdue.startswith("WarmupFailed: warmup.hooks[1]")


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("MODULE:fail", "raised OSError: the licence server is gone"),
        ("MODULE:none", "has no none"),
        ("MODULE:number", "is a int; expected a function"),
        ("MODULE:later", "is a coroutine function"),
        ("no_such_module:f", "cannot import no_such_module"),
        ("nothing", "expected package.module:function"),
    ],
)
def test_a_bad_hook_is_refused_by_name(hook: str, words: str, hooks: str) -> None:
    with pytest.raises(ModelRefusedError) as refused:
        run_hooks(None, [hook.replace("MODULE", hooks)], timeout_seconds=1, progress=lambda _: None)
    assert refused.value.reason == "WarmupFailed"
    assert "warmup.hooks[0]" in str(refused.value)
    assert words in str(refused.value)


def test_a_sample_request_is_the_body_of_infer() -> None:
    (call,) = parse_requests(
        [
            '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}], "parameters": {"k": 3}}'
        ]
    )
    assert call.inputs["x"].tolist() == [[1.0, 2.0]]
    assert call.parameters == {"k": 3}


@pytest.mark.parametrize("text", ["{", "[]", '{"inputs": [{"name": "x"}]}'])
def test_a_sample_request_that_is_none_is_refused_by_its_index(text: str) -> None:
    good = '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}'
    with pytest.raises(ModelRefusedError, match=r"warmup\.requests\[1\]: ") as refused:
        parse_requests([good, text])
    assert refused.value.reason == "WarmupFailed"
