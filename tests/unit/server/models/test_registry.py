"""From SOURCE to a LitAPI object, or a sentence that says which part is wrong."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import litserve
import pytest

from atheria_contract import names
from atheria_server.models.contract import is_described
from atheria_server.models.registry import BUILTIN, load_served
from atheria_server.models.served import SourceError


class Plain(litserve.LitAPI):
    """Takes what LitAPI takes."""


class Named(litserve.LitAPI):
    def __init__(self, colour: str = "red", **options: Any) -> None:
        super().__init__(**options)
        self.colour = colour


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> str:
    made = ModuleType("registry_test_module")
    made.Plain, made.Named, made.number = Plain, Named, 5  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return f"python://{made.__name__}"


def test_the_built_in_models_are_those_that_the_operator_accepts() -> None:
    assert set(BUILTIN) == set(names.BUILTIN_MODELS)
    for name in BUILTIN:
        assert is_described(load_served(f"builtin://{name}", {}, "").main)


def test_a_plain_litapi_gets_its_own_options(module: str) -> None:
    api = load_served(f"{module}:Plain", {"max_batch_size": 4, "stream": False}, "").main
    assert api.max_batch_size == 4
    assert not is_described(api)


def test_a_class_gets_the_parameters_that_its_init_names(module: str) -> None:
    api = load_served(f"{module}:Named", {"colour": "blue", "max_batch_size": 2}, "").main
    assert (api.colour, api.max_batch_size) == ("blue", 2)


@pytest.mark.parametrize(
    ("source", "parameters", "digest", "words"),
    [
        ("builtin://none", {}, "", "builtin://qca"),
        ("ftp://x", {}, "", "python://"),
        ("python://no_such_module_here:X", {}, "", "no_such_module_here"),
        ("{module}:Missing", {}, "", "Missing"),
        ("{module}:number", {}, "", "litserve.LitAPI"),
        ("{module}:Plain", {"shade": 1}, "", "'shade'"),
        ("{module}:Plain", {}, "sha256:0", "digest"),
    ],
)
def test_a_wrong_source_says_which_part_is_wrong(
    module: str, source: str, parameters: dict[str, Any], digest: str, words: str
) -> None:
    with pytest.raises(SourceError) as refused:
        load_served(source.format(module=module), parameters, digest)
    assert words in str(refused.value)
